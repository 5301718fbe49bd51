"""CLIP ViT-L/14 and ViT-B/32 in bfloat16 on a GPU, from their configurations with random weights: images a second with
and without caching, and the bytes a second that the cache takes. Nothing where there is no GPU."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from contest import Contender, Watch, contest
from figure import Figure, compared
from transformers import CLIPConfig, CLIPModel

from teachercache.cache import Manifest, create_cache
from teachercache.cache.spec import SignalSpec
from teachercache.stages.teacher.families.towers import Towers
from teachercache.stages.teacher.inputs.batch import PreparedBatch
from teachercache.stages.teacher.signals.encoding import clock, encode_batch
from teachercache.stages.teacher.signals.signal_schema import signal_schema
from teachercache.stages.teacher.sink import ShardSink
from teachercache.stages.teacher.spec import TeacherSpec

BAR = 0.97


@dataclass(frozen=True, slots=True)
class Tower:
    """A CLIP image tower by its sizes; `batch` images go through it at once, `batches` of them in a round."""

    name: str
    hidden: int
    layers: int
    patch: int
    side: int
    projection: int
    batch: int
    batches: int = 20
    rounds: int = 5


TOWERS = (
    Tower("CLIP ViT-B/32", 768, 12, 32, 224, 512, batch=512),
    Tower("CLIP ViT-L/14", 1024, 24, 14, 224, 768, batch=256),
)
TINY = (Tower("CLIP of no size, on the CPU", 64, 2, 8, 16, 16, batch=2, batches=2, rounds=1),)


def gpu_figures(tiny: bool, scratch: Path) -> list[Figure]:
    """A row for each tower; none where there is no GPU, and a tower of no size where `tiny` asks whether it runs."""
    if tiny:
        return [_figure(tower, torch.device("cpu"), scratch) for tower in TINY]
    return [_figure(tower, torch.device("cuda"), scratch) for tower in TOWERS] if torch.cuda.is_available() else []


def _figure(tower: Tower, device: torch.device, scratch: Path) -> Figure:
    """Hearing, encoding and writing image_embeds, the first token of the last layer, and two attention layers."""
    folder = _save(tower, scratch / tower.name.replace("/", "-"))
    last, middle = tower.layers - 1, tower.layers // 2
    signals = {
        "image_embeds": SignalSpec(codec="f16"),
        "cls": SignalSpec(point="vision.hidden.-1", reduce="cls", codec="int8"),
        f"vision.attention.{last}": SignalSpec(codec="u8sqrt", reduce="head-mean"),
        f"vision.attention.{middle}": SignalSpec(codec="u8sqrt", reduce="head-mean"),
    }
    spec = TeacherSpec(model=str(folder), dtype="bfloat16")
    batch = _prepared(tower, pin=device.type == "cuda")
    rows = tower.batch * tower.batches
    plain = Towers(spec, folder, {}, device)
    with closing(plain), closing(Towers(spec, folder, signals, device)) as teacher:
        heard = teacher({name: x.to(device) for name, x in batch.inputs.items()})
        schemas = {name: signal_schema(name, signals[name], values) for name, values in heard.items()}
        cache = create_cache(scratch / f"cache-{tower.hidden}", Manifest({}, schemas, ("s",), 1, 256))

        def bare(watch: Watch) -> None:
            pixels = batch.inputs["pixel_values"].to(device)
            watch.start()
            with torch.inference_mode():
                for _ in range(tower.batches):
                    plain.model.get_image_features(pixels)
            _finish(device)

        def caching(watch: Watch) -> None:
            with ShardSink(cache, None, {}) as sink:  # type: ignore[arg-type]  # no shard is sealed
                watch.start()
                for _ in range(tower.batches):
                    started = clock(device)
                    inputs = {name: x.to(device, non_blocking=True) for name, x in batch.inputs.items()}
                    sink.put(encode_batch(batch, teacher(inputs), schemas, started, device), {})
            watch.stop()

        contenders = {"caching": Contender(rows, caching), "bare pass": Contender(rows, bare)}
        outcome = contest(contenders, tower.rounds)
    taken = outcome.rate("caching") * sum(schema.row_bytes() for schema in schemas.values())
    note = f"the cache takes {taken / 1e6:,.0f} MB/s; batches of {tower.batch} in bfloat16, random weights"
    return compared(f"{tower.name}: caching", outcome, "caching", "bare pass", "images", BAR, note=note)


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _save(tower: Tower, folder: Path) -> Path:
    vision = {
        "hidden_size": tower.hidden,
        "num_hidden_layers": tower.layers,
        "num_attention_heads": tower.hidden // 64,
        "intermediate_size": 4 * tower.hidden,
        "patch_size": tower.patch,
        "image_size": tower.side,
    }
    text = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 64}
    torch.manual_seed(0)
    config = CLIPConfig(vision_config=vision, text_config=text, projection_dim=tower.projection)
    CLIPModel(config).save_pretrained(folder)
    return folder


def _prepared(tower: Tower, pin: bool) -> PreparedBatch:
    """One batch of noise, the first of a shard that never ends."""
    pixels = torch.randn(tower.batch, 3, tower.side, tower.side)
    ids = np.array([str(i) for i in range(tower.batch)])
    none = np.zeros(tower.batch, np.int64)
    inputs = {"pixel_values": pixels.pin_memory() if pin else pixels}
    return PreparedBatch("s", 0, tower.batch, False, ids, none, np.zeros((tower.batch, 0)), None, inputs)
