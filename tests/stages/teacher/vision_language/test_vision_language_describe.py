"""What `teacher describe` says of a model of images and text."""

from collections.abc import Callable
from pathlib import Path

import pytest
from agent_shards import FIELDS

from teachercache.data import SourceSpec
from teachercache.stages.deploy.measuring.measure_child import measure
from teachercache.stages.errors import StageError
from teachercache.stages.teacher.describing import describe_teacher
from teachercache.stages.teacher.independence import check_independence
from teachercache.stages.teacher.job import CacheJob

AgentJob = Callable[..., CacheJob]


def test_every_kind_of_point_is_described(agent_job: AgentJob) -> None:
    described = describe_teacher(agent_job("llava", {"hidden.0": {}}))
    points = {point.point: point for point in described.points}
    assert described.family == "vision-language"
    assert points["hidden.-1.image"].shape == (4, 32) and not points["hidden.-1.image"].ragged
    assert points["attention.-1.text-image"].shape == (4, 64, 4) and points["attention.-1.text-image"].ragged
    assert points["actions"].shape == (3, 256) and points["logits.action"].shape == (3, 320)
    assert points["vision.hidden.3"].shape == (5, 24) and points["vision.attention.2"].shape == (3, 5, 5)
    assert {"projector", "hidden.0", "hidden.2", "attention.1", "logits.text"} <= points.keys()


def test_such_a_teacher_is_timed_on_held_out_samples_over_and_over(agent_job: AgentJob, told: Path) -> None:
    job = agent_job("llava", {"hidden.0": {}})
    source = {"path": str(told / "*.tar"), "label": None, "fields": FIELDS}
    request = {
        "kind": "teacher",
        "teacher": job.teacher.model_dump(mode="json"),
        "source": SourceSpec.model_validate(source).model_dump(mode="json"),
        "view": [job.policy.size, 3],
        **{"device": "cpu", "batches": [1, 6], "runs": 5, "threads": 1},
    }
    found = measure(request)
    assert set(found["latency"]) == {"1", "6"} and found["latency"]["6"]["p50_ms"] > 0
    assert found["parameters"]["total"] == describe_teacher(job).facts["parameters"]
    with pytest.raises(StageError, match="of family vision-language is measured on held-out samples"):
        measure({**request, "source": None})


def test_rows_do_not_depend_on_the_batch_they_are_in(agent_job: AgentJob) -> None:
    points = ("hidden.-1", "hidden.1.text", "attention.0.text-image", "actions", "projector", "vision.hidden.1")
    check_independence(agent_job("llava", {point: {"codec": "f32"} for point in points}))
