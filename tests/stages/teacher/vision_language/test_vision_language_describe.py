"""What `teacher describe` says of a model of images and text."""

from collections.abc import Callable

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


def test_rows_do_not_depend_on_the_batch_they_are_in(agent_job: AgentJob) -> None:
    points = ("hidden.-1", "hidden.1.text", "attention.0.text-image", "actions", "projector", "vision.hidden.1")
    check_independence(agent_job("llava", {point: {"codec": "f32"} for point in points}))
