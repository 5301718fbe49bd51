"""All figures of the page in order, each with a caption that says what to look at."""

from dataclasses import dataclass

from ....stages.deploy.metrics.figure_kind import FigureKind
from ..collect import Report
from ..figure_words import headed
from ..results import BASELINE
from .accuracy import accuracy_panel, agreement_panels, set_panel, size_panel
from .bench import bench_panels
from .break_even import break_even_panel
from .curves import curve_panels
from .ladder import ladder_panels
from .panel import Panel
from .per_class import MOST, per_class_panels
from .reliability import reliability_panels

_ALL = ("teacher", "distilled", BASELINE, "shuffled-cache", "random-selection")


@dataclass(frozen=True, slots=True)
class Figure:
    """Panels under one title; `legend` names the arms that are drawn."""

    id: str
    title: str
    caption: str
    panels: tuple[Panel, ...]
    legend: tuple[str, ...]


def result_figures(report: Report) -> list[Figure]:
    """What a person wants first: who is how good, and what it costs in size."""
    panels = (accuracy_panel(report), size_panel(report))
    title = "Accuracy and size" if report.judged.primary == "top1" else "Quality and size"
    return [Figure("accuracy", title, _quality(report.kind), panels, _legend(report, _ALL))]


def ladder_figure(report: Report) -> Figure | None:
    """The ladder on every held-out set; None without one."""
    panels = tuple(ladder_panels(report))
    return Figure("ladder", "Rung by rung", _LADDER, panels, _legend(report, _ALL)) if panels else None


def set_figures(report: Report) -> dict[str, Figure]:
    """The primary figure on each of the other held-out sets, by the set's name."""
    legend = _legend(report, _ALL)
    return {
        name: Figure(f"set-{name}", f"On {name}", _SET, (set_panel(report, name),), legend)
        for name in report.judged.others
    }


def bench_figure(report: Report) -> Figure | None:
    """The models as shipped; None where nobody measured or judged them."""
    panels = bench_panels(report.bench) if report.bench else ()
    return Figure("bench", "What is kept, and at what cost", _BENCH, panels, ()) if panels else None


def behaviour_figures(report: Report) -> list[Figure]:
    """How the students learnt, and how they behave on held-out samples."""
    students, classes = _legend(report, _ALL[1:]), _legend(report, _ALL[:3])
    many = "" if len(report.teacher.evaluation.per_class) <= MOST else _MANY_CLASSES
    figures = [
        Figure("agreement", "Agreement", _AGREEMENT, tuple(agreement_panels(report)), students),
        Figure("per-class", "Accuracy by class", _CLASSES + many, tuple(per_class_panels(report)), classes),
        Figure("reliability", "Reliability", _RELIABILITY, tuple(reliability_panels(report)), _legend(report, _ALL)),
        Figure("curves", "Training curves", _CURVES, tuple(curve_panels(report)), students),
    ]
    return [figure for figure in figures if figure.panels]


def ledger_figure(report: Report) -> Figure | None:
    """Break-even; None when the teacher's seconds were not recorded."""
    panel = break_even_panel(report.ledger)
    return None if panel is None else Figure("break-even", "Break-even", _BREAK_EVEN, (panel,), ())


def _legend(report: Report, arms: tuple[str, ...]) -> tuple[str, ...]:
    there = {"teacher", *(one.arm for one in report.students)}
    return tuple(arm for arm in arms if arm in there)


def _quality(kind: FigureKind) -> str:
    lower = "lower" if kind.better == "higher" else "higher (less is better)"
    return (
        f"{headed(kind.title)} on held-out samples; a bar is one standard deviation over seeds. Look at the distance "
        "from labels only to distilled, and whether the shuffled cache stays behind: it should not come out ahead of "
        "labels only. Against parameters, look at how far left of the teacher a student stands, and how little "
        f"{lower}."
    )


_LADDER = (
    "Each rung adds something to the one before; a bar is one standard deviation over seeds, the dashed line the "
    "teacher. A rung is worth its place when it moves by more than its bar, on every set."
)
_SET = (
    "The same students on samples of another kind. A gain that is there on the main set alone is not knowledge that "
    "travels."
)
_AGREEMENT = (
    "How often a student's first choice is the teacher's, right or wrong, and how far its probabilities are from "
    "the teacher's (zero is the same). A distilled student should stand nearer to the teacher than its accuracy "
    "alone explains."
)
_BENCH = "Up and to the left is better. Squares are checkpoints, circles float exports, triangles int8."
_CLASSES = (
    "Mean over seeds. Look for classes where distilled falls behind labels only, and for those where the teacher "
    "itself is weak: a student inherits them."
)
_MANY_CLASSES = f" Of all classes, the {MOST} are shown that distillation changes most."
_RELIABILITY = (
    "Accuracy of the samples that a model was so sure of. On the dotted diagonal confidence is honest; below it "
    "the model is too sure of itself. Larger marks hold more samples; small ones are noisy. Seeds are put "
    "together."
)
_CURVES = (
    "Mean loss of the logged batches, the band from the lowest to the highest seed. Each arm's loss is the sum of "
    "its own terms, so compare shapes, not heights: still falling at the end asks for more steps, near zero early "
    "is memorising."
)
_BREAK_EVEN = (
    "Teacher time as more trials are trained. The cache costs one pass, however many read it; a teacher beside "
    "each trial costs its rows again every time. The dot is where the cache has paid for itself."
)
