"""What killing.py kills: a fleet of four trials on a small cache. Round 0 is the undisturbed one."""

import json
from pathlib import Path

import torch

from teachercache.cache import open_cache
from teachercache.cache.spec import SignalSpec
from teachercache.data import SourceSpec, ViewPolicy, ViewsSpec, open_source
from teachercache.stages.student.fleet import train_fleet
from teachercache.stages.student.models.builders import StudentShape
from teachercache.stages.student.spec import StudentSpec, TrainSpec
from teachercache.stages.student.stream.join import Join
from teachercache.stages.student.stream.stream import Stream
from teachercache.stages.student.trial.trial import plan_trials
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache
from teachercache.stages.teacher.spec import TeacherSpec

OBJECTIVE = [
    {"loss": "cross_entropy"},
    {"loss": "kl", "signal": "logits", "temperature": 2.0},
    {"loss": "cosine", "output": "embedding", "signal": "embedding", "projector": "linear"},
]
STUDENT = {"name": "cnn", "use": "cnn", "args": {"widths": [4, 8], "dropout": 0.2}, "objective": OBJECTIVE}
TRAIN = {
    "steps": 60,
    "batch_size": 8,
    "seeds": [0, 1],
    "controls": ["shuffled-cache"],
    "checkpoint_every": 7,
    "log_every": 5,
    "window": 2,
    "device": "cpu",
}


def make_job(root: str, images: str, teacher: str) -> CacheJob:
    """The cache that all rounds read."""
    return CacheJob(
        root=Path(root) / "cache",
        source=open_source(SourceSpec(path=f"{images}/*.tar")),
        policy=ViewPolicy(ViewsSpec.model_validate({"count": 2, "size": 16, "operations": [{"op": "flip"}]})),
        keep_pixels=False,
        teacher=TeacherSpec(model=teacher, device="cpu", workers=0, batch_size=8),
        signals={"logits": SignalSpec(codec="f32"), "embedding": SignalSpec(codec="int8")},
        block=4,
    )


def prepare(root: str, images: str, teacher: str) -> CacheJob:
    """Build the cache before the first fork."""
    torch.set_num_threads(1)
    job = make_job(root, images, teacher)
    build_cache(job)
    return job


def work(job: CacheJob, number: int) -> None:
    """Train what is not finished."""
    cache = open_cache(job.root)
    train = TrainSpec.model_validate(TRAIN)
    join = Join(cache, job.source, job.policy)
    stream = Stream(cache, join, train, ["logits", "embedding"], torch.device("cpu"), True)
    trials = plan_trials([StudentSpec.model_validate(STUDENT)], train)
    shape = StudentShape(len(cache.manifest.classes), 3, 16)
    train_fleet(trials, stream, shape, job.root.parent / f"round-{number}", train, torch.device("cpu"))


def compare(job: CacheJob, rounds: int) -> None:
    """Every round's students have the undisturbed ones' weights, bit for bit, and their history but for seconds."""
    first = job.root.parent / "round-0"
    students = sorted(path.relative_to(first) for path in first.rglob("student.safetensors"))
    assert len(students) == 4
    for number in range(1, rounds + 1):
        there = job.root.parent / f"round-{number}"
        for student in students:
            assert (there / student).read_bytes() == (first / student).read_bytes(), (number, student)
            history = student.with_name("history.jsonl")
            assert read_history(there / history) == read_history(first / history), (number, history)


def read_history(path: Path) -> list[dict[str, object]]:
    """Logged steps without the time they took."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]
