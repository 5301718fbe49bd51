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
    assert both.busy_share == pytest.approx(0.57) and both.rate == 6.0
