"""k classes of each row by threshold sampling, usable without bias at several temperatures."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from ...errors import CacheError
from ..codec import Array, Part
from .draws import dithers, row_keys, uniforms
from .ids import ids_part, pack_ids, unpack_ids
from .pieces import encode_in_pieces
from .sampled import SampledTargets, sampling_error
from .softmax import double, entropy, log_softmax, log_sum_exp
from .threshold import draw_by_threshold
from .threshold_values import code_sizes, decode_sizes
from .threshold_weights import threshold_weights

_LEAST = -600.0  # a class less likely than exp(-600) counts as that: float64 ends at exp(-745)


@dataclass(frozen=True, slots=True)
class PPS:
    """Ids, one byte for each size, log tau, and what every other temperature needs: 64 bytes for 16 of 1,000 classes
    at three temperatures. Sizes are softmax(z / sample_temperature).

    Of rows with at most k classes everything is kept, as float16 logits, and nothing is drawn.
    """

    k: int
    temperatures: tuple[float, ...]
    sample_temperature: float = 1.0
    name: str = "pps"

    @property
    def parameters(self) -> Mapping[str, Any]:
        drawn = {} if self.sample_temperature == 1.0 else {"sample_temperature": self.sample_temperature}
        return {"k": self.k, "temperatures": list(self.temperatures), **drawn}

    def parts(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        if len(shape) != 1:
            raise CacheError(f"codec pps keeps logits (classes), and this signal is {shape}")
        ids, told = ids_part(min(self.k, shape[0]), shape[0]), Part("entropy", "float16", ())
        if shape[0] <= self.k:
            return (ids, Part("values", "float16", shape), told)
        others = len(self._normalised())
        return (
            ids,
            Part("values", "uint8", (self.k,)),
            Part("grid", "uint8", (2,)),
            Part("threshold", "float32", ()),
            *([Part("normalisers", "float32", (others,))] if others else []),
            told,
        )

    def encode(self, values: Array, key: int = 0) -> dict[str, Array]:
        """Values (n, C) -> the parts. `key` names one of many independent draws; a cache holds draw 0."""
        xp = array_namespace(values)
        values = xp.astype(values, xp.float32)
        if values.shape[-1] <= self.k:
            return _keep_all(xp, values)
        return encode_in_pieces(values, lambda rows: self._encode(xp, rows, key))

    def decode(self, parts: Mapping[str, Array], shape: tuple[int, ...]) -> SampledTargets:
        xp = array_namespace(parts["values"])
        ids, told = unpack_ids(parts["ids"], shape[0]), xp.astype(parts["entropy"], xp.float32)
        if shape[0] <= self.k:
            kept = xp.astype(parts["values"], xp.float32)
            weights = {t: xp.exp(log_softmax(kept / t)) for t in self.temperatures}
        else:
            weights = self._weights(parts, ids)
        return SampledTargets(ids, weights, told, shape[0])

    def error(self, values: Array, decoded: SampledTargets) -> dict[str, float]:
        xp = array_namespace(values)
        temperature = self.temperatures[0]
        return sampling_error(xp.exp(log_softmax(double(values) / temperature)), decoded, temperature)

    def _normalised(self) -> tuple[float, ...]:
        """The temperatures whose normaliser is stored: that of the sampling itself is 0."""
        return tuple(t for t in self.temperatures if t != self.sample_temperature)

    def _encode(self, xp: Any, rows: Array, key: int) -> dict[str, Array]:
        logits = double(rows)
        values = xp.astype(logits, xp.float32)
        order = xp.argsort(values, axis=-1, descending=True, stable=True)
        sizes = xp.clip(log_softmax(logits / self.sample_temperature), _LEAST, None)
        ranked = xp.take_along_axis(sizes, order, axis=-1)
        draw = draw_by_threshold(ranked, uniforms(row_keys(values, key), 1)[:, 0], self.k)
        ids = xp.take_along_axis(order, draw.positions, axis=-1)
        threshold = xp.astype(draw.threshold, xp.float32)
        stored = double(threshold)[:, None]
        u = xp.take_along_axis(ranked, draw.positions, axis=-1) - stored
        return {
            "ids": pack_ids(ids, values.shape[-1]),
            **code_sizes(u, stored, double(dithers(ids, threshold))),
            "threshold": threshold,
            **self._normalisers(xp, sizes),
            "entropy": xp.astype(entropy(logits), xp.float16),
        }

    def _normalisers(self, xp: Any, sizes: Array) -> dict[str, Array]:
        """log of the sum of size^(T_s / T), for the temperatures where it is not 0."""
        found = [log_sum_exp(sizes * (self.sample_temperature / t))[:, 0] for t in self._normalised()]
        return {"normalisers": xp.astype(xp.stack(found, axis=-1), xp.float32)} if found else {}

    def _weights(self, parts: Mapping[str, Array], ids: Array) -> dict[float, Array]:
        sizes = decode_sizes(parts["values"], parts["grid"], dithers(ids, parts["threshold"]))
        others, threshold = self._normalised(), parts["threshold"][:, None]
        normalisers = {t: parts["normalisers"][:, i : i + 1] for i, t in enumerate(others)}
        return {
            t: threshold_weights(sizes, threshold, self.sample_temperature / t, normalisers.get(t, 0.0))
            for t in self.temperatures
        }


def _keep_all(xp: Any, values: Array) -> dict[str, Array]:
    """All classes, largest first, as logits minus the largest."""
    order = xp.argsort(values, axis=-1, descending=True, stable=True)
    ranked = xp.take_along_axis(double(values), order, axis=-1)
    kept = xp.clip(ranked - ranked[:, :1], -65504.0, 0.0)
    return {
        "ids": pack_ids(order, values.shape[-1]),
        "values": xp.astype(xp.astype(kept, xp.float32), xp.float16),
        "entropy": xp.astype(xp.astype(entropy(double(values)), xp.float32), xp.float16),
    }
