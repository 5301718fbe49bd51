"""Encodes heard signals on the teacher's device and starts their copy to the host.

A value that is not finite is marked on the device and reported, with its sample, when the copy has arrived: the device
is never made to wait for a check.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import torch

from ....cache.codecs import HeadLogits, QueryKey, Ragged
from ....cache.errors import CacheError
from ....cache.format.schema import SignalSchema
from ...cache_identity import PIXELS
from ...errors import StageError, StageFailed
from ..inputs.batch import PreparedBatch
from ..running.copies import all_copied, to_host
from .constants import heard_constants
from .signal_schema import Heard, of_length
from .soundness import finite_rows, whole_rows


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """Encoded rows on their way to the host. `finite` and `whole` map a signal to bool (n,): which rows hold finite
    values, and which are not cut into by packing. On a GPU `started` and `done` are events around what it computed,
    and `copied` one after the copies; elsewhere they are seconds, and None."""

    prepared: PreparedBatch
    parts: Mapping[str, Mapping[str, torch.Tensor]]
    finite: Mapping[str, torch.Tensor]
    whole: Mapping[str, torch.Tensor]
    started: Any
    done: Any
    copied: torch.cuda.Event | None = None

    def arrays(self) -> dict[str, dict[str, np.ndarray]]:
        """The parts as numpy arrays, waiting for the copy. Raises StageFailed naming signal, shard and sample."""
        if self.copied is not None:
            self.copied.synchronize()
        for name, finite in self.finite.items():
            if not bool(finite.all()):
                raise StageFailed(_not_finite(name, self.prepared, _first_false(finite)))
        for name, whole in self.whole.items():
            if not bool(whole.all()):
                raise StageFailed(_not_whole(name, self.prepared, _first_false(whole)))
        return {name: {part: tensor.numpy() for part, tensor in parts.items()} for name, parts in self.parts.items()}

    def seconds(self) -> float:
        """Seconds the device worked on this batch; after `arrays`."""
        if isinstance(self.done, torch.cuda.Event):
            self.done.synchronize()
            return float(self.started.elapsed_time(self.done)) / 1e3
        return float(self.done - self.started)


def clock(device: torch.device) -> Any:
    """Now: a recorded CUDA event on a GPU, else seconds."""
    if device.type == "cuda":
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(device))
        return event
    return perf_counter()


def encode_batch(
    prepared: PreparedBatch,
    heard: Mapping[str, Heard],
    schemas: Mapping[str, SignalSchema],
    started: Any,
    device: torch.device,
) -> EncodedBatch:
    """Encode what was heard, and the views when the cache keeps pixels. `started` is the `clock` before the teacher.

    Without rows nothing was heard, and every part is empty. Raises StageFailed, naming signal and shard, for a batch
    that is not as the first one was.
    """
    if not prepared.rows:
        parts = {name: _no_rows(schema) for name, schema in schemas.items()}
        return EncodedBatch(prepared, parts, {}, {}, started, clock(device))
    with torch.inference_mode():
        finite = {name: to_host(finite_rows(x, schemas[name].packing)) for name, x in heard.items()}
        whole = {name: whole_rows(x, schemas[name].packing) for name, x in heard.items()}
        values = dict(heard)
        if prepared.views is not None:
            values[PIXELS] = prepared.views
        parts = {name: _encoded(prepared, schemas[name], x) for name, x in values.items()}
    kept = {name: to_host(rows) for name, rows in whole.items() if rows is not None}
    return EncodedBatch(prepared, parts, finite, kept, started, clock(device), all_copied(device))


def check_first(prepared: PreparedBatch, heard: Mapping[str, Heard], schemas: Mapping[str, SignalSchema]) -> None:
    """Look at the first batch before anything is published; waits for the device.

    Raises StageFailed for a value that is not finite, StageError for maps that their packing would cut into.
    """
    for name, values in heard.items():
        packing = schemas[name].packing
        if not bool((finite := finite_rows(values, packing)).all()):
            raise StageFailed(_not_finite(name, prepared, _first_false(finite)))
        if (whole := whole_rows(values, packing)) is not None and not bool(whole.all()):
            raise StageError(_not_whole(name, prepared, _first_false(whole)))


def measure_errors(heard: Mapping[str, Heard], schemas: Mapping[str, SignalSchema]) -> dict[str, dict[str, float]]:
    """What each codec loses on these rows, measured by decoding what was encoded."""
    found, constants = {}, heard_constants(heard)
    with torch.inference_mode():
        for name, values in heard.items():
            schema = of_length(schemas[name], _tokens(values))
            codec = schema.build(constants)
            decoded = codec.decode(codec.encode(values), schema.shape)
            found[name] = codec.error(values, decoded)
    return found


def _tokens(values: Heard) -> int | None:
    """To how many tokens the rows of a batch are padded, where they differ: to decode more would be waste."""
    if isinstance(values, QueryKey):
        return None if values.lengths is None else int(values.query.shape[2])
    if isinstance(values, HeadLogits):
        return _tokens(values.hidden)
    return int(values.lengths.max()) if isinstance(values, Ragged) else None


def _encoded(prepared: PreparedBatch, schema: SignalSchema, values: Heard) -> dict[str, torch.Tensor]:
    """The parts on their way to the host."""
    kept = values.hidden if isinstance(values, HeadLogits) else values
    if isinstance(kept, Ragged) and schema.packing is None:
        raise StageFailed(
            f"signal {schema.name}: rows of shard {prepared.shard} differ in length, and those of the first batch did "
            "not: the teacher's inputs must always come with an attention_mask, or never"
        )
    if isinstance(kept, torch.Tensor) and schema.packing is None and tuple(kept.shape[1:]) != schema.shape:
        raise StageFailed(
            f"signal {schema.name}: rows of shard {prepared.shard} are {tuple(kept.shape[1:])}, and those of the "
            f"first batch were {schema.shape}. Rows that differ in length are kept where the teacher is called with an "
            "attention_mask; else let its inputs have one size"
        )
    try:
        return {part: to_host(tensor) for part, tensor in schema.build().encode(values).items()}
    except CacheError as error:
        raise StageFailed(f"signal {schema.name}, shard {prepared.shard}: {error}") from error


def _no_rows(schema: SignalSchema) -> dict[str, torch.Tensor]:
    return {part.name: torch.zeros((0, *part.shape), dtype=getattr(torch, part.dtype)) for part in schema.parts()}


def _first_false(rows: torch.Tensor) -> int:
    return int(torch.argmin(rows.to(torch.uint8)))


def _sample(prepared: PreparedBatch, row: int) -> str:
    sample, view = divmod(row, prepared.rows // max(1, len(prepared.ids)))
    return f"sample {str(prepared.ids[sample])!r} (view {view}) of shard {prepared.shard}"


def _not_whole(name: str, prepared: PreparedBatch, row: int) -> str:
    return (
        f"signal {name}: a token of {_sample(prepared, row)} looks at padding, or, where cache.signals.{name} says "
        "`causal: true`, at later tokens, and what it sees there would be dropped. Leave out `causal` if this "
        "attention is not causal, or not of probabilities that sum to 1"
    )


def _not_finite(name: str, prepared: PreparedBatch, row: int) -> str:
    return (
        f"signal {name} is NaN or infinite for {_sample(prepared, row)}. If teacher.dtype or "
        "teacher.autocast is float16, use bfloat16 or float32; otherwise look at the sample"
    )
