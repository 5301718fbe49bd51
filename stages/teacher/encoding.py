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

from ...cache.format.schema import SignalSchema
from ..cache_identity import PIXELS
from ..errors import StageFailed
from .batch import PreparedBatch


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """Encoded rows on their way to the host. `finite` maps a signal to bool (n,); `done` is the copy's CUDA event."""

    prepared: PreparedBatch
    parts: Mapping[str, Mapping[str, torch.Tensor]]
    finite: Mapping[str, torch.Tensor]
    started: Any
    done: Any

    def arrays(self) -> dict[str, dict[str, np.ndarray]]:
        """The parts as numpy arrays, waiting for the copy. Raises StageFailed naming signal, shard and sample."""
        if isinstance(self.done, torch.cuda.Event):
            self.done.synchronize()
        for name, finite in self.finite.items():
            if not bool(finite.all()):
                raise StageFailed(_not_finite(name, self.prepared, int(torch.argmin(finite.to(torch.uint8)))))
        return {name: {part: tensor.numpy() for part, tensor in parts.items()} for name, parts in self.parts.items()}

    def seconds(self) -> float:
        """Seconds the device worked on this batch; after `arrays`."""
        if isinstance(self.done, torch.cuda.Event):
            return float(self.started.elapsed_time(self.done)) / 1e3
        return float(self.done - self.started)


def clock(device: torch.device) -> Any:
    """Now: a recorded CUDA event on a GPU, else seconds."""
    if device.type == "cuda":
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event
    return perf_counter()


def encode_batch(
    prepared: PreparedBatch,
    heard: Mapping[str, torch.Tensor],
    schemas: Mapping[str, SignalSchema],
    started: Any,
    device: torch.device,
) -> EncodedBatch:
    """Encode what was heard, and the views when the cache keeps pixels. `started` is the `clock` before the teacher."""
    with torch.inference_mode():
        values = dict(heard)
        finite = {name: _host(_finite_rows(x)) for name, x in values.items()}
        if prepared.views is not None:
            values[PIXELS] = prepared.views
        parts = {
            name: {part: _host(tensor) for part, tensor in schemas[name].build().encode(x).items()}
            for name, x in values.items()
        }
    return EncodedBatch(prepared, parts, finite, started, clock(device))


def check_finite(prepared: PreparedBatch, heard: Mapping[str, torch.Tensor]) -> None:
    """Raise StageFailed for a value that is not finite; waits for the device."""
    for name, values in heard.items():
        finite = _finite_rows(values)
        if not bool(finite.all()):
            raise StageFailed(_not_finite(name, prepared, int(torch.argmin(finite.to(torch.uint8)))))


def measure_errors(
    heard: Mapping[str, torch.Tensor], schemas: Mapping[str, SignalSchema]
) -> dict[str, dict[str, float]]:
    """What each codec loses on these rows, measured by decoding what was encoded."""
    found = {}
    with torch.inference_mode():
        for name, values in heard.items():
            codec = schemas[name].build()
            decoded = codec.decode(codec.encode(values), schemas[name].shape)
            found[name] = codec.error(values, decoded)
    return found


def _finite_rows(values: torch.Tensor) -> torch.Tensor:
    """Which rows (n,) hold finite values alone, in one pass: minimum and maximum carry NaN and infinity."""
    if values[0:1].numel() == 0:
        return torch.ones(len(values), dtype=torch.bool, device=values.device)
    low, high = torch.aminmax(values.flatten(1), dim=1)
    return torch.isfinite(low) & torch.isfinite(high)


def _host(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.device.type != "cuda":
        return tensor.cpu()
    pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return pinned.copy_(tensor, non_blocking=True)


def _not_finite(name: str, prepared: PreparedBatch, row: int) -> str:
    views = prepared.rows // max(1, len(prepared.ids))
    sample, view = divmod(row, views)
    return (
        f"signal {name} is NaN or infinite for sample {str(prepared.ids[sample])!r} (view {view}) of shard "
        f"{prepared.shard}. If teacher.dtype or teacher.autocast is float16, use bfloat16 or float32; otherwise "
        "look at the sample"
    )
