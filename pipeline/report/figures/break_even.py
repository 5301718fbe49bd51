"""Break-even: teacher seconds against the number of trained students, with the cache and without."""

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ..ledger import Ledger
from ..quantities import duration
from .panel import COLOURS, Panel, draw_panel


def break_even_panel(ledger: Ledger) -> Panel | None:
    """None when the teacher's seconds were not recorded."""
    if not ledger.teacher_seconds or not ledger.cache_rows:
        return None
    cache, each = ledger.teacher_seconds, ledger.teacher_seconds * ledger.rows_per_trial / ledger.cache_rows
    last = max(2, ledger.reading_trials, 2 * ledger.break_even_trials)

    def paint(axes: Axes) -> None:
        axes.plot([0, last], [0, each * last], color=COLOURS["labels-only"])
        axes.plot([0, last], [cache, cache], color=COLOURS["distilled"])
        axes.plot([cache / each], [cache], marker="o", color=COLOURS["ink"], zorder=4, clip_on=False)
        _label(axes, "teacher beside each", last * 0.7, each * last * 0.7, -8)
        _label(axes, "from the cache", last, cache, 0)
        axes.set(xlabel="trials that read the teacher", ylabel="teacher seconds", xlim=(0, last), ylim=(0, None))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5))

    alt = (
        f"Teacher seconds against trials: the cache costs {duration(cache)} once, a teacher beside each trial "
        f"{duration(each)} a trial; the lines cross at {cache / each:.2f} trials."
    )
    return draw_panel("break-even", "Break-even", alt, paint)


def _label(axes: Axes, text: str, x: float, y: float, shift: float) -> None:
    axes.annotate(text, (x, y), (shift, 4), textcoords="offset points", ha="right", va="bottom")
