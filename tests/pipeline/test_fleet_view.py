"""People see a line for each trial, on a terminal and in a log, and the times in it are right."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from teachercache.pipeline.students import fleet_view
from teachercache.pipeline.students.fleet_view import FleetView
from teachercache.stages.student.files.history import Record
from teachercache.stages.student.fleet import FleetProgress

GOOD, PLAIN, BAD = "cnn/distilled/seed-0", "vit/distilled/seed-0", "big/distilled/seed-0"
RECORD = Record(20, 1.25, {"kl:logits": 0.5, "cross_entropy:labels": 0.75}, 0.1, 1.0, 3.0, 0, 0.625)
STATE = FleetProgress(20, 100, {GOOD: RECORD, PLAIN: None}, {BAD: "out of memory"}, 2, {GOOD: 20, PLAIN: 20}, 1)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    written = io.StringIO()
    monkeypatch.setattr(fleet_view, "console", Console(file=written, width=200))
    return written


def test_a_log_has_a_line_for_each_trial_now_and_then(seen: io.StringIO) -> None:
    now = [0.0]
    view = FleetView("4 trials", lambda: now[0])
    now[0] = 10.0
    view.show(replace(STATE, step=0, at={GOOD: 0, PLAIN: 20}, training={GOOD: None, PLAIN: None}))
    assert seen.getvalue() == ""
    now[0] = 40.0
    view.show(STATE)
    assert seen.getvalue().splitlines() == [
        "4 trials: step 20 of 100, 1 finished or stopped, 1 failed, 2 waiting",
        f"  {GOOD}: step 20, loss 1.250, 62% of the batch right, 0.7 steps/s, 0:02:00 left",
        f"  {PLAIN}: step 20",
        f"  {BAD}: failed: out of memory",
    ]


def test_without_labels_the_first_term_is_shown(seen: io.StringIO) -> None:
    view = FleetView("4 trials")
    view.show(replace(STATE, training={GOOD: replace(RECORD, accuracy=None)}))
    assert "loss 1.250, kl:logits 0.500" in view.lines()[1]


def test_a_terminal_shows_as_many_trials_as_it_has_lines(seen: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Console(file=seen, width=160, height=12, force_terminal=True)
    monkeypatch.setattr(fleet_view, "console", terminal)
    names = [f"cnn/distilled/seed-{n}" for n in range(30)]
    view = FleetView("30 trials")
    view.show(FleetProgress(20, 100, dict.fromkeys(names, RECORD), {}, 0, dict.fromkeys(names, 20)))
    terminal.print(view)
    said = seen.getvalue()
    assert names[7] in said and names[8] not in said and "and 22 more" in said
