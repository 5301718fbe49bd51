"""The k largest logits of a row, and the exact mass of the rest at a few temperatures."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from ...errors import CacheError
from ..codec import Array, Part
from .ids import ids_part, pack_ids, unpack_ids
from .softmax import double, entropy, log_sum_exp
from .sparse import SparseLogits


@dataclass(frozen=True, slots=True)
class TopK:
    """Ids in 2, 3 or 4 bytes (ids.py), shifted values in f16, and one float32 tail per temperature.

    Without the tails a top-k row could not be tempered again. They are summed from the dropped logits themselves, not
    by subtraction, so a tiny tail keeps its digits. `entropy` says whether that of softmax(z) is kept too.
    """

    k: int
    temperatures: tuple[float, ...]
    entropy: bool = False
    name: str = "topk"

    @property
    def parameters(self) -> Mapping[str, Any]:
        told = {"entropy": True} if self.entropy else {}
        return {"k": self.k, "temperatures": list(self.temperatures), **told}

    def parts(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        if len(shape) != 1 or shape[0] < self.k:
            raise CacheError(
                f"codec topk with k={self.k} needs rows of at least {self.k} logits, this signal is {shape}"
            )
        return (
            ids_part(self.k, shape[0]),
            Part("values", "float16", (self.k,)),
            Part("tails", "float32", (len(self.temperatures),)),
            *([Part("entropy", "float16", ())] if self.entropy else []),
        )

    def encode(self, values: Array) -> dict[str, Array]:
        xp = array_namespace(values)
        values = xp.astype(values, xp.float32)
        order = xp.argsort(values, axis=-1, descending=True, stable=True)
        ranked = xp.take_along_axis(values, order, axis=-1)
        ranked = ranked - ranked[:, :1]
        tails = [_log_mass(xp, ranked[:, self.k :] / t) for t in self.temperatures]
        kept = xp.clip(ranked[:, : self.k], -65504.0, 0.0)
        return {
            "ids": pack_ids(order[:, : self.k], values.shape[-1]),
            "values": xp.astype(kept, xp.float16),
            "tails": xp.stack(tails, axis=-1),
            **({"entropy": xp.astype(entropy(double(values)), xp.float16)} if self.entropy else {}),
        }

    def decode(self, parts: Mapping[str, Array], shape: tuple[int, ...]) -> SparseLogits:
        xp = array_namespace(parts["values"])
        tails = {t: parts["tails"][:, i] for i, t in enumerate(self.temperatures)}
        told = xp.astype(parts["entropy"], xp.float32) if self.entropy else None
        ids = unpack_ids(parts["ids"], shape[0])
        return SparseLogits(ids, xp.astype(parts["values"], xp.float32), tails, shape[0], told)

    def error(self, values: Array, decoded: SparseLogits) -> dict[str, float]:
        xp = array_namespace(decoded.values)
        values = xp.astype(values, xp.float32)
        shifted = values - xp.max(values, axis=-1, keepdims=True)
        exact = xp.take_along_axis(shifted, decoded.ids, axis=-1)
        tail = decoded.tails[self.temperatures[0]] * 1.0
        kept = xp.sum(xp.exp(decoded.values / self.temperatures[0]), axis=-1)
        mass = xp.exp(tail) / (xp.exp(tail) + kept)
        return {"max_abs": float(xp.max(xp.abs(exact - decoded.values))), "tail_mass": float(xp.mean(mass))}


def _log_mass(xp: Any, logits: Array) -> Array:
    """log(sum(exp(logits))) over the last axis, -inf where it is empty."""
    if logits.shape[-1] == 0:
        return xp.full_like(xp.sum(logits, axis=-1), -float("inf"))
    return log_sum_exp(logits)[:, 0]
