"""What caching costs a teacher whose batch takes 50 ms or more: the build, hearing attention, and replaying views.

The clock is CPU time of this process, because the machine may do other things too: what the build adds to the bare
forward pass on a CPU is work, and work shows there. On a GPU it is the clock on the wall, as images a second. The bare
pass is `model(**inputs)` under inference_mode on batches in memory, with transformers' default attention.
"""

import shutil
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import torch
from contest import Contender, Watch, contest
from figure import Figure, compared
from teacher_gpu import gpu_figures
from teachers import heavy
from torch import nn
from transformers import ViTConfig, ViTForImageClassification

from teachercache.data import ViewPolicy, ViewsSpec, decode
from teachercache.stages.capture import listen
from teachercache.stages.teacher.families.loading import load_pretrained
from teachercache.stages.teacher.inputs.images import ImageInputs
from teachercache.stages.teacher.inputs.loader import PreparedPieces, plan_pieces
from teachercache.stages.teacher.inputs.preprocessing import Preprocessor
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache

CACHED, HEARD, REPLAYED = 0.97, 1 / 1.10, 1 / 1.05
_CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Size:
    images: int
    side: int
    hidden: int
    layers: int
    batch: int
    passes: int
    views: int
    rounds: int


FULL = Size(images=44, side=224, hidden=384, layers=12, batch=4, passes=1, views=12, rounds=5)
TINY = Size(images=6, side=32, hidden=64, layers=2, batch=2, passes=1, views=2, rounds=1)


def measure(tiny: bool, scratch: Path) -> list[Figure]:
    """The figures of this benchmark."""
    size = TINY if tiny else FULL
    figures = [*_building(size, scratch), *_hearing(size), _replaying(size, scratch)]
    return figures + gpu_figures(tiny, scratch)


def _building(size: Size, scratch: Path) -> list[Figure]:
    """The whole build of a ViT-S/16 over photographs, with logits, embedding and two attention layers."""
    bench, numbers = heavy(scratch, size.images, size.side, size.hidden, size.layers), count()

    def job() -> CacheJob:
        return bench.job(scratch / f"built-{next(numbers)}", workers=0, batch_size=size.batch)

    first = job()
    pieces = plan_pieces(first.source, first.source.shards(), size.batch)
    prepare = ImageInputs(Preprocessor(first.folder, size.side, 3))
    prepared = PreparedPieces(first.source, first.policy, prepare, pieces, False)
    batches = [prepared[i].inputs for i in range(len(prepared))]
    model = load_pretrained("AutoModelForImageClassification", first.teacher, first.folder, _CPU)
    rows = size.images - size.batch

    def bare(watch: Watch) -> None:
        for number, inputs in enumerate(batches):
            if number == 1:
                watch.start()
            with torch.inference_mode():
                model(**inputs)

    def both(watch: Watch) -> None:
        for number in range(len(prepared)):
            if number == 1:
                watch.start()
            with torch.inference_mode():
                model(**prepared[number].inputs)

    def build(watch: Watch) -> None:
        built = job()
        build_cache(built, lambda done, total: watch.start() if done == size.batch else None)
        watch.stop()
        shutil.rmtree(str(built.root))

    runs: Mapping[str, Callable[[Watch], None]] = {
        "bare pass": bare,
        "build": build,
        "bare pass and preparing": both,
    }
    outcome = contest({name: Contender(rows, run) for name, run in runs.items()}, size.rounds)
    batch_ms = 1e3 * size.batch / outcome.rate("bare pass", "cpu")
    about = f"ViT {size.side} px, hidden {size.hidden}, {size.layers} layers"
    note = f"a batch of {size.batch} takes {batch_ms:.0f} ms of the CPU"
    return [
        compared(f"{about}: caching", outcome, "build", "bare pass and preparing", "rows", CACHED, "cpu", note),
        compared(f"{about}: caching, decoding counted too", outcome, "build", "bare pass", "rows", clock="cpu"),
    ]


def _hearing(size: Size) -> list[Figure]:
    """Passes of which attention layers are heard, beside passes that are not listened to."""
    torch.manual_seed(0)
    config = ViTConfig(hidden_size=size.hidden, num_hidden_layers=size.layers, num_attention_heads=size.hidden // 64,
                       intermediate_size=4 * size.hidden, image_size=size.side, num_labels=1000)  # fmt: skip
    model = ViTForImageClassification(config).eval()
    eager = ViTForImageClassification._from_config(config, attn_implementation="eager").eval()
    inputs = {"pixel_values": torch.randn(size.batch, 3, size.side, size.side)}
    two = [f"attention.{size.layers - 1}", f"attention.{size.layers // 2}"]

    def passes(model: nn.Module, points: list[str], **options: bool) -> Callable[[Watch], None]:
        def run(watch: Watch) -> None:
            with listen(model, points) if points else nullcontext() as ears, torch.inference_mode():
                watch.start()
                for _ in range(size.passes):
                    model(**inputs, **options)
                    if ears is not None:
                        ears.collect()
                watch.stop()

        return run

    every = [f"attention.{layer}" for layer in range(size.layers)]
    contenders = {
        "none": passes(model, []),
        "2 layers": passes(model, two),
        "all layers": passes(model, every),
        "eager everywhere": passes(eager, [], output_attentions=True),
    }
    outcome = contest({name: Contender(size.batch * size.passes, run) for name, run in contenders.items()}, size.rounds)
    about = f"attention of a ViT with {size.layers} layers, {size.side} px"
    return [
        compared(f"{about}: 2 layers heard", outcome, "2 layers", "none", "rows", HEARD, "cpu"),
        compared(f"{about}: all layers heard", outcome, "all layers", "none", "rows", clock="cpu"),
        compared(f"{about}: plain transformers, eager", outcome, "eager everywhere", "none", "rows", clock="cpu"),
    ]


def _replaying(size: Size, scratch: Path) -> Figure:
    """Views drawn and made at once, without anything stored, beside views made again of stored parameters."""
    bench = heavy(scratch / "views", size.images, size.side, 64, 1)
    operations = ({"op": "crop"}, {"op": "flip"}, {"op": "jitter"})
    policy = ViewPolicy(ViewsSpec.model_validate({"count": size.views, "size": size.side, "operations": operations}))
    source = replace(bench.job(scratch / "none")).source
    opened = source.open(source.shards()[0])
    ids, few = list(opened.ids)[:2], [decode(opened[i], 3) for i in range(2)]
    stored = policy.draw(ids)

    def make(parameters: Callable[[], object]) -> Callable[[Watch], None]:
        def run(watch: Watch) -> None:
            found = parameters()
            for i, image in enumerate(few):
                for row in range(i * size.views, (i + 1) * size.views):
                    policy.replay(image, found[row])  # type: ignore[index]

        return run

    runs = {"replayed": make(lambda: stored), "drawn and made": make(lambda: policy.draw(ids))}
    outcome = contest({name: Contender(2 * size.views, run) for name, run in runs.items()}, size.rounds)
    what = f"views of {size.side} px: crop, flip, jitter"
    return compared(f"{what}: replayed", outcome, "replayed", "drawn and made", "views", REPLAYED, "cpu")
