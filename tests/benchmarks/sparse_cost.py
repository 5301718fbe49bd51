"""What sparse and compressed signals cost a student in points, against raw ones.

The student `vit` of the shipped recipe trains from one cache that keeps logits, embedding and attention twice, as f32
and as small as they can be. All its forms have the same batches and, by seed, the same first weights; only the codecs
of what they read differ. Ten classes leave nothing to sample, so `pps` keeps 4 there; its 16 are tried on 400 classes,
on the students of the benchmark `sampling`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import sampling
import torch
from figure import Figure
from held_out import HeldOutImages, held_out_images, lost
from teachers import Bench, recipe, shipped

from teachercache.cache import open_cache
from teachercache.cache.spec import SignalSpec
from teachercache.data import ViewPolicy, open_source
from teachercache.stages.student.fleet import train_fleet
from teachercache.stages.student.models.builders import StudentShape
from teachercache.stages.student.spec import StudentSpec, TermSpec, TrainSpec
from teachercache.stages.student.stream.join import Join
from teachercache.stages.student.stream.stream import Stream
from teachercache.stages.student.trial.trial import needed_signals, plan_trials
from teachercache.stages.teacher.runner import build_cache

ALLOWED = 0.2  # points
_CPU = torch.device("cpu")
_RAW = {
    "logits": {"codec": "f32"},
    "embedding": {"codec": "f32"},
    "attention.5": {"codec": "f32", "reduce": "head-mean"},
}
_SMALL = {
    "logits": {"codec": "pps", "k": 4, "temperatures": [2.0], "sample_temperature": 2.0},
    "embedding": {"codec": "int8"},
    "attention.5": {"codec": "u8sqrt", "reduce": "head-mean"},
}
FORMS = {  # what each form of the student reads small
    "raw": (),
    "pps": ("logits",),
    "int8-u8": ("embedding", "attention.5"),
    "all-small": ("logits", "embedding", "attention.5"),
}


@dataclass(frozen=True, slots=True)
class Size:
    shards: int
    samples: int | None  # of one shard; None for all
    views: int
    labelled: int
    batch: int
    steps: int
    seeds: int
    sampling: sampling.Size


FULL = Size(7, None, 4, 300, 96, 450, 5, sampling.FULL)
TINY = Size(1, 40, 1, 4, 8, 2, 2, sampling.TINY)


def measure(tiny: bool, scratch: Path) -> list[Figure]:
    """The figures of this benchmark."""
    size = TINY if tiny else FULL
    found = top1_of_forms(size, scratch, held_out_images())
    raw = found.pop("raw")
    figures = [lost(f"vit, {name}: top-1", "raw", ours, raw, ALLOWED) for name, ours in found.items()]
    return [*figures, _many_classes(size)]


def top1_of_forms(size: Size, scratch: Path, images: HeldOutImages) -> dict[str, dict[int, float]]:
    """Top-1 in percent of each form, by seed."""
    bench = replace(shipped(scratch, size.views, size.shards, size.samples), signals=_signals())
    build_cache(bench.job(scratch / "cache", batch_size=256))
    students = [student_form(name, small) for name, small in FORMS.items()]
    folder = train_all(bench, scratch, students, recipe_train(size.steps, size.batch, size.labelled, size.seeds))
    return {
        name: {seed: images.top1(folder / name / "distilled" / f"seed-{seed}") for seed in range(size.seeds)}
        for name in FORMS
    }


def student_form(name: str, small: Sequence[str]) -> StudentSpec:
    """The recipe's `vit` under another name, which reads the signals in `small` small and the others raw."""
    vit = next(student for student in recipe().students if student.name == "vit")
    terms = [term if term.signal is None else _reading(term.signal, term, small) for term in vit.objective]
    return vit.model_copy(update={"name": name, "objective": tuple(terms)})


def recipe_train(steps: int, batch: int, labelled: int, seeds: int) -> TrainSpec:
    """The recipe's, without controls, for `steps` steps and `seeds` seeds."""
    train = recipe().train
    few = train.labelled and train.labelled.model_copy(update={"count": labelled, "per_batch": batch // 2})
    changes = {"steps": steps, "batch_size": batch, "labelled": few, "seeds": tuple(range(seeds)), "controls": ()}
    return train.model_copy(update=changes)


def train_all(bench: Bench, scratch: Path, students: Sequence[StudentSpec], train: TrainSpec) -> Path:
    """Train them from the cache in `scratch`: the folder that holds them."""
    cache, trials = open_cache(scratch / "cache"), plan_trials(students, train)
    join = Join(cache, open_source(bench.source), ViewPolicy(bench.views))
    stream = Stream(cache, join, train, needed_signals(trials), _CPU, False)
    shape = StudentShape(len(cache.manifest.classes), bench.views.channels, bench.views.size)
    for result in train_fleet(trials, stream, shape, scratch / "students", train, _CPU):
        if result.status == "failed":
            raise RuntimeError(f"{result.trial.name} failed, so nothing can be compared: {result.reason}")
    return scratch / "students"


def _reading(signal: str, term: TermSpec, small: Sequence[str]) -> TermSpec:
    point = "logits" if signal == "logits.top4" else signal
    kind = "small" if point in small else "raw"
    return term.model_copy(update={"signal": f"{point}.{kind}"})


def _signals() -> dict[str, SignalSpec]:
    kinds: Mapping[str, Mapping[str, Mapping[str, object]]] = {"raw": _RAW, "small": _SMALL}
    return {
        f"{point}.{kind}": SignalSpec.model_validate({"point": point, **settings})
        for kind, points in kinds.items()
        for point, settings in points.items()
    }


def _many_classes(size: Size) -> Figure:
    arms = {"dense, f32": sampling.Arm("f32", {}), "pps": sampling.Arm("pps", {"k": 16})}
    found = {
        name: {seed: sampling.agreement(size.sampling, arm, seed) for seed in range(size.seeds)}
        for name, arm in arms.items()
    }
    return lost("pps, 16 of 400 classes: agreement", "dense, f32", found["pps"], found["dense, f32"], ALLOWED)
