"""Students learn from logits however they are kept: a kept head is the logits, a sample is right in the mean."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from teachercache.cache import Cache, SampledTargets, open_cache
from teachercache.stages.deploy.evaluation.held_out import HeldOut
from teachercache.stages.deploy.evaluation.predictions import join_predictions, student_predictions, teacher_predictions
from teachercache.stages.deploy.metrics.classification import figures
from teachercache.stages.deploy.metrics.metric_spec import ClassificationSpec
from teachercache.stages.errors import StageError
from teachercache.stages.student.files.saved import load_student
from teachercache.stages.student.fleet import train_fleet
from teachercache.stages.student.meeting.meeting import meet
from teachercache.stages.student.meeting.student_side import StudentSide
from teachercache.stages.student.models.builders import StudentShape
from teachercache.stages.student.spec import StudentSpec, TermSpec, TrainSpec
from teachercache.stages.student.stream.join import Join
from teachercache.stages.student.stream.stream import Stream
from teachercache.stages.student.trial.trial import Trial
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache

SIGNALS: dict[str, dict[str, Any]] = {
    "logits": {"codec": "f32"},
    "head": {"point": "logits", "codec": "head"},
    "pps": {"point": "logits", "codec": "pps", "k": 3, "temperatures": [1.0, 2.0]},
    "all": {"point": "logits", "codec": "pps", "k": 5, "temperatures": [1.0, 2.0]},
    "sampling": {"point": "logits", "codec": "sampling", "draws": 20, "sample_temperature": 2.0},
}
CPU, SHAPE = torch.device("cpu"), StudentShape(classes=5, channels=3, size=16)


@pytest.fixture
def joined(make_job: Callable[..., CacheJob]) -> tuple[Cache, Join]:
    job = make_job(SIGNALS)
    build_cache(job)
    cache = open_cache(job.root, job.fingerprint)
    return cache, Join(cache, job.source, job.policy)


def term(signal: str, temperature: float = 2.0, loss: str = "kl") -> TermSpec:
    return TermSpec.model_validate({"loss": loss, "signal": signal, "temperature": temperature})


def met(spec: TermSpec, cache: Cache, classes: int = 5) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of a student's logits and of the term's signal where they meet."""
    (facing,) = meet(spec, "place", StudentSide({"logits": (classes,)}), cache.manifest.signals)
    return facing.shapes


def train(joined: tuple[Cache, Join], signal: str, folder: Path) -> torch.Tensor:
    """The weights of a student after a few steps, as one vector."""
    settings = TrainSpec(steps=6, batch_size=8, window=2)
    stream = Stream(*joined, settings, [signal], CPU, False)
    student = StudentSpec(name="tiny", use="cnn", args={"widths": [4]}, objective=(term(signal),))
    results = train_fleet([Trial(student, "distilled", 0)], stream, SHAPE, folder / signal, settings, CPU)
    assert [result.status for result in results] == ["finished"], results[0].reason
    return torch.cat([p.detach().flatten() for p in load_student(results[0].folder).parameters()])


def test_a_student_of_a_kept_head_is_the_student_of_the_logits(joined: tuple[Cache, Join], tmp_path: Path) -> None:
    dense = train(joined, "logits", tmp_path)
    for signal, bound in (("head", 2e-3), ("all", 2e-2)):
        torch.testing.assert_close(train(joined, signal, tmp_path), dense, atol=bound, rtol=0)
    for signal in ("pps", "sampling"):
        assert train(joined, signal, tmp_path).isfinite().all()


def test_every_form_of_logits_reaches_the_student(joined: tuple[Cache, Join]) -> None:
    stream = Stream(*joined, TrainSpec(steps=1, batch_size=8, window=2), list(SIGNALS), CPU, True)
    (batch,) = stream.batches(0, 1)
    for found in (batch.signals, batch.shuffled):
        head, dense = found["head"], found["logits"]
        assert isinstance(head, torch.Tensor) and isinstance(dense, torch.Tensor)
        torch.testing.assert_close(head, dense, atol=5e-3, rtol=0)
        assert isinstance(found["pps"], SampledTargets) and isinstance(found["sampling"], SampledTargets)
        torch.testing.assert_close(found["pps"].ids[:, 0], dense.argmax(dim=-1))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            term("pps", 3.0),
            "signal 'pps' has no weights at temperature 3, only at 1, 2; .*signals.pps.temperatures",
        ),
        (term("sampling", 1.0), r"no weights at temperature 1, only at 2; .*signals.sampling.sample_temperature"),
        (term("pps", 1.0, "mse"), "keeps a sample of 3 entries alone; use kl"),
        (term("sampling", 1.0, "mse"), "keeps a sample of 20 draws alone; use kl"),
    ],
)
def test_what_a_sample_cannot_say_is_refused_before_the_first_step(
    joined: tuple[Cache, Join], spec: TermSpec, message: str
) -> None:
    with pytest.raises(StageError, match=message):
        met(spec, joined[0])


def test_a_kept_head_meets_every_loss_of_logits_at_every_temperature(joined: tuple[Cache, Join]) -> None:
    assert met(term("head", 3.7), joined[0]) == met(term("head", 1.0, "mse"), joined[0]) == ((5,), (5,))
    with pytest.raises(StageError, match=r"output 'logits' is \(4,\) and signal 'head' is \(5,\)"):
        met(term("head"), joined[0], 4)


def test_held_out_logits_are_scored_in_any_form(joined: tuple[Cache, Join]) -> None:
    found = {}
    for signal in ("logits", "head", "pps", "all"):
        held_out = HeldOut(*joined, [ClassificationSpec(signal=signal)])
        assert held_out.classes == 5
        draw = torch.Generator().manual_seed(0)
        rows = [(b, torch.randn(len(b.rows), 5, generator=draw)) for b in held_out.batches(4)]
        student = join_predictions([student_predictions(b.ids, b.labels, s, b.signals[signal]) for b, s in rows])
        teacher = join_predictions([teacher_predictions(b.ids, b.labels, b.signals[signal]) for b, _ in rows])
        names = [str(number) for number in range(5)]
        found[signal] = figures(student, names), figures(teacher, names)
    student, teacher = found["logits"]
    for signal, bound in (("head", 5e-3), ("all", 1e-2)):
        assert found[signal][0]["kl"] == pytest.approx(student["kl"], abs=bound)
    for signal in ("head", "pps", "all"):
        assert found[signal][0]["agreement"] == student["agreement"]
        assert found[signal][1]["top1"] == teacher["top1"]
    assert found["head"][1]["nll"] == pytest.approx(teacher["nll"], abs=5e-3)
    assert found["pps"][1]["nll"] is None and found["pps"][1]["top5"] is None  # a sample does not tell them
    with pytest.raises(StageError, match="weights at temperature 2 and none at 1"):
        batch = next(HeldOut(*joined, [ClassificationSpec(signal="sampling")]).batches(4))
        student_predictions(batch.ids, batch.labels, torch.randn(len(batch.rows), 5), batch.signals["sampling"])
    with pytest.raises(StageError, match="no weights at temperature 1"):
        teacher_predictions(batch.ids, batch.labels, batch.signals["sampling"])
