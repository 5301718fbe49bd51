"""Random-sampling distillation (Anshumann et al. 2025, arXiv 2503.16870): classes drawn with replacement, and how often
each came."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace, device

from ...errors import CacheError
from ..codec import Array, Part
from .draws import row_keys, uniforms
from .ids import ids_part, pack_ids, unpack_ids
from .pieces import encode_in_pieces
from .sampled import SampledTargets, sampling_error
from .softmax import double, entropy, log_softmax


@dataclass(frozen=True, slots=True)
class RandomSampling:
    """`draws` classes of softmax(z / sample_temperature); a class weighs its count / draws, at that temperature alone.

    Entries are the largest class, whose count may be 0, and the others that came, by number; unused ones repeat the
    largest with count 0.
    """

    draws: int
    sample_temperature: float = 1.0
    name: str = "sampling"

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"draws": self.draws, "sample_temperature": self.sample_temperature}

    def parts(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        if len(shape) != 1:
            raise CacheError(f"codec sampling keeps logits (classes), and this signal is {shape}")
        entries = self._entries(shape[0])
        return ids_part(entries, shape[0]), Part("counts", "uint8", (entries,)), Part("entropy", "float16", ())

    def encode(self, values: Array, key: int = 0) -> dict[str, Array]:
        """Values (n, C) -> the parts. `key` names one of many independent draws; a cache holds draw 0."""
        xp = array_namespace(values)
        values = xp.astype(values, xp.float32)
        return encode_in_pieces(values, lambda rows: self._encode(xp, rows, key), 2 * self.draws)

    def decode(self, parts: Mapping[str, Array], shape: tuple[int, ...]) -> SampledTargets:
        xp = array_namespace(parts["counts"])
        weights = xp.astype(parts["counts"], xp.float32) / self.draws
        told = xp.astype(parts["entropy"], xp.float32)
        return SampledTargets(unpack_ids(parts["ids"], shape[0]), {self.sample_temperature: weights}, told, shape[0])

    def error(self, values: Array, decoded: SampledTargets) -> dict[str, float]:
        probability = array_namespace(values).exp(log_softmax(double(values) / self.sample_temperature))
        return sampling_error(probability, decoded, self.sample_temperature)

    def _entries(self, classes: int) -> int:
        return 1 + min(self.draws, classes - 1)

    def _encode(self, xp: Any, rows: Array, key: int) -> dict[str, Array]:
        logits = double(rows)
        values = xp.astype(logits, xp.float32)
        probability = xp.exp(log_softmax(logits / self.sample_temperature))
        drawn = _draw(xp, probability, uniforms(row_keys(values, key), self.draws))
        first = xp.argmax(values, axis=-1, keepdims=True)
        ids, counts = _count(xp, drawn, first, self._entries(values.shape[-1]) - 1)
        return {
            "ids": pack_ids(ids, values.shape[-1]),
            "counts": xp.astype(counts, xp.uint8),
            "entropy": xp.astype(entropy(logits), xp.float16),
        }


def _draw(xp: Any, probability: Array, random: Array) -> Array:
    """Classes (n, N) int64, ascending, on which N random numbers of a row (n, N) fall."""
    rows, classes = probability.shape
    ends = xp.cumulative_sum(probability, axis=-1)
    row = xp.arange(rows, dtype=xp.float64, device=device(probability))[:, None]  # all rows in one ascending line
    line = xp.reshape(ends / ends[:, -1:] + row, (-1,))
    place = xp.searchsorted(line, xp.reshape(xp.sort(random, axis=-1) + row, (-1,)), side="right")
    first = xp.arange(rows, dtype=xp.int64, device=device(probability))[:, None] * classes
    return xp.clip(xp.reshape(xp.astype(place, xp.int64), random.shape) - first, 0, classes - 1)


def _count(xp: Any, drawn: Array, first: Array, others: int) -> tuple[Array, Array]:
    """Ids and counts (n, 1 + others) int64: `first` (n, 1), then the other classes among `drawn` (n, N), ascending."""
    classes, counts = _runs(xp, drawn)
    spare = xp.astype((counts == 0) | (classes == first), xp.int64)
    order = xp.argsort(spare, axis=-1, stable=True)[:, :others]
    empty = xp.take_along_axis(spare, order, axis=-1) == 1
    ids = xp.where(empty, first, xp.take_along_axis(classes, order, axis=-1))
    kept = xp.where(empty, xp.zeros_like(order), xp.take_along_axis(counts, order, axis=-1))
    top = xp.sum(xp.astype(drawn == first, xp.int64), axis=-1, keepdims=True)
    return xp.concat([first, ids], axis=-1), xp.concat([top, kept], axis=-1)


def _runs(xp: Any, drawn: Array) -> tuple[Array, Array]:
    """The different classes of ascending rows (n, N), and how often each is there; unused entries have count 0."""
    new = xp.concat([xp.ones_like(drawn[:, :1]), xp.astype(drawn[:, 1:] != drawn[:, :-1], xp.int64)], axis=-1)
    places = xp.argsort(1 - new, axis=-1, stable=True)
    end = xp.full_like(places, drawn.shape[-1])
    entry = xp.arange(drawn.shape[-1], dtype=xp.int64, device=device(drawn))
    starts = xp.where(entry < xp.sum(new, axis=-1, keepdims=True), places, end)
    counts = xp.concat([starts[:, 1:], end[:, :1]], axis=-1) - starts
    return xp.take_along_axis(drawn, xp.clip(starts, None, drawn.shape[-1] - 1), axis=-1), counts
