"""What pruning costs in points: channels ranked by the Taylor expansion of the objective, by their size, or drawn.

A form of the shipped recipe's `cnn` trains from one cache of the recipe's images; of its forms some lose three
quarters of their channels on the way, by each importance, and one loses half. All have the same batches and, by seed,
the same first weights.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from figure import Figure
from held_out import HeldOutImages, held_out_images, lost
from sparse_cost import recipe_train, train_all
from teachers import recipe, shipped

from teachercache.cache.spec import SignalSpec
from teachercache.stages.student.pruning.spec import PruneSpec
from teachercache.stages.student.spec import StudentSpec
from teachercache.stages.teacher.runner import build_cache

ALLOWED = 2.0  # points that half the channels may cost
WIDE = (16, 32, 64)
QUARTER = {"to": 0.25, "steps": 4, "start": 0.3, "end": 0.7}
FORMS: dict[str, PruneSpec | None] = {
    "whole": None,
    "taylor": PruneSpec.model_validate({**QUARTER, "importance": "taylor"}),
    "l2": PruneSpec.model_validate({**QUARTER, "importance": "l2"}),
    "random": PruneSpec.model_validate({**QUARTER, "importance": "random"}),
    "half": PruneSpec.model_validate({**QUARTER, "to": 0.5}),
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


FULL = Size(shards=2, samples=None, views=1, labelled=200, batch=48, steps=200, seeds=3)
TINY = Size(shards=1, samples=40, views=1, labelled=4, batch=8, steps=10, seeds=2)


def measure(tiny: bool, scratch: Path) -> list[Figure]:
    """The figures of this benchmark."""
    found = top1_of_forms(TINY if tiny else FULL, scratch, held_out_images())
    return [
        lost("cnn, half the channels by taylor: top-1", "whole", found["half"], found["whole"], ALLOWED),
        lost("cnn, a quarter by taylor: top-1", "whole", found["taylor"], found["whole"], ALLOWED),
        *(
            lost(f"cnn, a quarter by taylor: top-1 beside {other}", other, found["taylor"], found[other], 0.0)
            for other in ("l2", "random")
        ),
    ]


def top1_of_forms(size: Size, scratch: Path, images: HeldOutImages) -> dict[str, dict[int, float]]:
    """Top-1 in percent of each form, by seed."""
    signals = {"logits": SignalSpec(codec="f16")}
    bench = replace(shipped(scratch, size.views, size.shards, size.samples), signals=signals)
    build_cache(bench.job(scratch / "cache", batch_size=256))
    students = [_form(name, prune) for name, prune in FORMS.items()]
    folder = train_all(bench, scratch, students, recipe_train(size.steps, size.batch, size.labelled, size.seeds))
    return {
        name: {seed: images.top1(folder / name / "distilled" / f"seed-{seed}") for seed in range(size.seeds)}
        for name in FORMS
    }


def _form(name: str, prune: PruneSpec | None) -> StudentSpec:
    cnn = next(student for student in recipe().students if student.name == "cnn")
    return cnn.model_copy(update={"name": name, "args": {"widths": list(WIDE)}, "prune": prune})
