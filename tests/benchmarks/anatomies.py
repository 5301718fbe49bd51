"""What attention, hidden states and embeddings of ViT-B/32 and of CLIP's text tower take, on models of their shape.

The models have random weights, so that nothing is downloaded; queries are scaled up until attention is as uneven as a
trained model's (untrained attention is nearly uniform, which would flatter every codec). Captions have 10 to 20 tokens.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from figure import Figure
from torch import nn

from teachercache.cache import Manifest, RowIndex, create_cache
from teachercache.cache.codecs import QueryKey, Ragged
from teachercache.cache.spec import SignalSpec
from teachercache.stages.capture import listen
from teachercache.stages.capture.attention import attention_modules
from teachercache.stages.capture.reduction import reduce_heard
from teachercache.stages.teacher.signals.encoding import measure_errors
from teachercache.stages.teacher.signals.signal_schema import heard_point, signal_schema

_SHARPER = {"text": 80.0, "image": 6.0}  # times the queries: scores then have a standard deviation of about 2
_LAYERS = 12

Heard = Mapping[str, tuple[SignalSpec, Any]]  # what was heard, and how it is to be kept


def measured(tiny: bool, scratch: Path) -> list[Figure]:
    """Bytes of a row over all twelve layers, as encoded, or as they lie on disk where they are compressed."""
    torch.manual_seed(0)
    rows = 4 if tiny else 96
    text, image = _text(rows), _image(min(rows, 12))
    layers = [f"attention.{layer}" for layer in range(_LAYERS)]
    about = f"{rows} captions of 10 to 20 tokens, random weights"
    l1 = ("row_l1_mean", 0.006)
    return [
        _figure(
            "CLIP text attention, u8sqrt, causal, packed", _kept(text, layers, "u8sqrt", causal=True), None, about, l1
        ),
        _disk(
            "the same with zstd, on disk", _kept(text, layers, "u8sqrt", causal=True, compress="zstd"), scratch, about
        ),
        _figure("CLIP text attention, factored, int8", _kept(text, layers, "factored", keep="int8"), None, about),
        _figure("CLIP text hidden states 0 to 12, int8, packed", _kept(text, _hidden(), "int8"), None, about),
        _figure("ViT-B/32 attention, u8sqrt", _kept(image, layers, "u8sqrt"), 360_000, ""),
        _figure(
            "ViT-B/32 attention, u8sqrt, head-mean", _kept(image, layers, "u8sqrt", reduce="head-mean"), 30_000, ""
        ),
        _figure("ViT-B/32 attention, u8sqrt, cls-row", _kept(image, layers, "u8sqrt", reduce="cls-row"), None, ""),
        _figure("ViT-B/32 embedding, int8", _kept(image, ["embedding"], "int8"), 772, "", ("cosine_mean", 5e-5)),
    ]


def _hidden() -> list[str]:
    return [f"hidden.{layer}" for layer in range(_LAYERS + 1)]


def _text(rows: int) -> dict[str, Any]:
    """Everything a CLIP text tower (ViT-B/32's) says of random captions."""
    from transformers import CLIPTextConfig, CLIPTextModel

    sizes = dict(hidden_size=512, num_hidden_layers=_LAYERS, num_attention_heads=8, intermediate_size=2048)
    model = CLIPTextModel(CLIPTextConfig(vocab_size=1000, bos_token_id=1, eos_token_id=2, **sizes))
    draw = torch.Generator().manual_seed(0)
    ids, lengths = torch.randint(3, 1000, (rows, 20), generator=draw), torch.randint(10, 21, (rows,), generator=draw)
    mask = (torch.arange(20) < lengths[:, None]).long()
    return _heard(model, _SHARPER["text"], {"input_ids": ids, "attention_mask": mask}, _hidden())


def _image(rows: int) -> dict[str, Any]:
    """Everything a ViT-B/32 classifier says of noise."""
    from transformers import ViTConfig, ViTForImageClassification

    model = ViTForImageClassification(ViTConfig(patch_size=32, num_labels=1000))
    pixels = torch.randn(rows, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    return _heard(model, _SHARPER["image"], {"pixel_values": pixels}, ["embedding"])


def _heard(
    model: nn.Module, sharper: float, inputs: Mapping[str, torch.Tensor], points: Iterable[str]
) -> dict[str, Any]:
    for module in attention_modules(model):
        module.q_proj.weight.data *= sharper
    layers = [f"{kind}.{layer}" for layer in range(_LAYERS) for kind in ("attention", "qk")]
    with listen(model.eval(), [*points, *layers]) as ears, torch.inference_mode():
        model(**inputs)
        return ears.collect()


def _kept(heard: Mapping[str, Any], points: Iterable[str], codec: str, **settings: Any) -> dict[str, Any]:
    """{signal: (its settings, its values)}."""
    spec = SignalSpec.model_validate({"codec": codec, **settings})
    values = {point: heard[heard_point(point, spec)] for point in points}
    return {
        point: (spec, x if isinstance(x, QueryKey) else reduce_heard(spec.reduce, x)) for point, x in values.items()
    }


def _figure(what: str, kept: Heard, most: int | None, about: str, error: tuple[str, float] | None = None) -> Figure:
    """Bytes of the encoded arrays, and the mean of the layers' errors, beside float32 of the padded rows."""
    schemas = {name: signal_schema(name, spec, values) for name, (spec, values) in kept.items()}
    encoded = [schemas[name].build().encode(values) for name, (_, values) in kept.items()]
    rows = len(next(iter(encoded[0].values()))) if schemas else 0
    size = sum(part.numel() * part.element_size() for parts in encoded for part in parts.values()) / rows
    return _row(what, size, kept, most, about, error)


def _row(what: str, size: float, kept: Heard, most: int | None, about: str, error: tuple[str, float] | None) -> Figure:
    schemas = {name: signal_schema(name, spec, values) for name, (spec, values) in kept.items()}
    errors = measure_errors({name: values for name, (_, values) in kept.items()}, schemas)
    figures = {name: float(np.mean([each[name] for each in errors.values()])) for name in next(iter(errors.values()))}
    plain = sum(4 * int(np.prod(_longest(schema.shape, kept))) for schema in schemas.values())
    fits = (most is None or size <= most) and (error is None or figures[error[0]] <= error[1])
    bars = ([] if most is None else [f"<= {most:,} B"]) + ([] if error is None else [f"{error[0]} <= {error[1]:g}"])
    lost = ", ".join(f"{name} {value:.2g}" for name, value in figures.items())
    return Figure(
        what,
        f"{size:,.0f} B/row",
        f"f32: {plain:,} B/row",
        plain / size,
        bar=", ".join(bars),
        reached=fits if bars else None,
        note=", ".join(part for part in (lost, about) if part),
    )


def _longest(shape: tuple[int, ...], kept: Heard) -> tuple[int, ...]:
    """Captions are padded to 77 tokens where nothing is done about it."""
    ragged = any(
        isinstance(values, Ragged) or getattr(values, "lengths", None) is not None for _, values in kept.values()
    )
    return tuple(77 if ragged and size == 20 else size for size in shape)


def _disk(what: str, kept: Heard, scratch: Path, about: str) -> Figure:
    """Bytes of the value files of one shard."""
    schemas = {name: signal_schema(name, spec, values) for name, (spec, values) in kept.items()}
    encoded = {
        name: {part: x.numpy() for part, x in schemas[name].build().encode(values).items()}
        for name, (_, values) in kept.items()
    }
    rows = len(next(iter(encoded.values()))["lengths"])
    cache = create_cache(scratch / "text", Manifest({"signals": {}}, schemas, ("s",), 1, rows))
    writer = cache.writer("s")
    writer.append(encoded)
    ids = np.array([f"{i}" for i in range(rows)])
    receipt = writer.seal(RowIndex(ids, np.zeros(rows, np.uint16), np.zeros(rows, np.int64), np.zeros((rows, 0))))
    size = sum(file["bytes"] for path, file in receipt.files.items() if "/c/" in path) / rows
    return _row(what, size, kept, 10_000, about, ("row_l1_mean", 0.006))
