"""A build says how fast it was, and which side was the limit; its receipts keep the seconds."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from teachercache.cache import open_cache
from teachercache.pipeline.keeping.inspection import inspect_cache
from teachercache.pipeline.keeping.inspection_table import inspection_lines
from teachercache.stages.teacher import sink
from teachercache.stages.teacher.families.image_classifier import ImageClassifier
from teachercache.stages.teacher.inputs.loader import PreparedPieces
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache
from teachercache.stages.teacher.running.pace import Pace, together

SLOW = {
    "teacher": (ImageClassifier, "__call__"),
    "loader": (PreparedPieces, "__getitem__"),
    "writer": (sink._OpenShard, "take"),
}


@pytest.mark.parametrize("side", SLOW)
def test_the_slow_side_is_named(make_job: Callable[..., CacheJob], monkeypatch: pytest.MonkeyPatch, side: str) -> None:
    kind, name = SLOW[side]
    call = getattr(kind, name)

    def slow(self: Any, *rest: Any) -> Any:
        time.sleep(0.2)
        return call(self, *rest)

    monkeypatch.setattr(kind, name, slow)
    monkeypatch.setattr(sink, "_AHEAD", 1)
    job = make_job(batch_size=6, signals={"logits": {}})
    pace = build_cache(job).pace
    assert pace.limit == side and f"the limit is the {side}" in pace.line()
    assert pace.rows == 30 and pace.rate > 0 and pace.busy + pace.data + pace.writer <= 1.01 * pace.seconds
    cost = inspect_cache(open_cache(job.root))["cost"]
    assert cost["limit"] == side
    assert cost["waiting_for_data"] <= pace.data + 1e-6 and cost["waiting_for_writer"] <= pace.writer + 1e-6
    assert any(f"the limit is the {side}" in line for line in inspection_lines(inspect_cache(open_cache(job.root))))


def test_processes_that_ran_side_by_side_are_summed() -> None:
    both = together([Pace(10, 2.0, 1.8, 0.1, 0.0, 8), Pace(20, 4.0, 3.9, 0.0, 0.1, 4)], 5.0)
    assert (both.rows, both.seconds, both.processes, both.batch_size) == (30, 5.0, 2, 4)
    assert both.busy_share == pytest.approx(0.57) and both.limit == "teacher" and both.rate == 6.0


def test_no_side_is_named_where_the_seconds_that_are_counted_are_few() -> None:
    pace = Pace(rows=30, seconds=1.3, busy=0.05, data=0.01, writer=0.0, end=0.6)
    assert pace.limit is None and "no side was the limit: of 1.3 s" in pace.line()
    assert "the last shards (0.6 s)" in pace.line() and "the limit is" not in pace.line()
    both = together([Pace(10, 2.0, 1.8, end=0.1), Pace(20, 2.0, 1.9, end=0.2)], 20.0)
    assert both.limit is None and both.end == pytest.approx(0.3) and "of 40.0 s" in both.line()


def test_the_end_of_a_build_is_counted_and_a_builds_seconds_are_no_fewer_than_their_parts(
    make_job: Callable[..., CacheJob],
) -> None:
    pace = build_cache(make_job(signals={"logits": {}})).pace
    assert pace.end > 0 and pace.busy + pace.data + pace.writer + pace.end <= 1.01 * pace.seconds
