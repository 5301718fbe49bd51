"""Logits that are not kept but computed: the input of a teacher's head, and the head itself."""

from dataclasses import dataclass, replace
from typing import Any

from array_api_compat import array_namespace, device

from ..ragged import Ragged


@dataclass(frozen=True, slots=True)
class HeadLogits:
    """`hidden` (n, [T,] d) float32, or Ragged where rows differ in tokens, `weight` (classes, d) and `bias` (classes,)
    float32. numpy arrays or torch tensors on one device; the head is one array for all batches."""

    hidden: Any
    weight: Any
    bias: Any

    @property
    def classes(self) -> int:
        """Width of the dense row."""
        return int(self.weight.shape[0])

    def logits(self, ids: Any = None) -> Any:
        """hidden W^T + b, (n, [T,] classes) float32, or Ragged as `hidden` is, with padding of 0; with `ids` (m,) int64
        the logits of these classes alone."""
        if isinstance(self.hidden, Ragged):
            return self._of_tokens(self.hidden, ids)
        xp = array_namespace(self.hidden)
        weight = self.weight if ids is None else xp.take(self.weight, ids, axis=0)
        bias = self.bias if ids is None else xp.take(self.bias, ids, axis=0)
        return xp.matmul(self.hidden, xp.matrix_transpose(weight)) + bias

    def _of_tokens(self, hidden: Ragged, ids: Any) -> Ragged:
        values = replace(self, hidden=hidden.values).logits(ids)
        xp = array_namespace(values)
        real = xp.arange(values.shape[1], device=device(values))[None, :] < hidden.lengths[:, None]
        return Ragged(xp.where(real[:, :, None], values, xp.zeros_like(values)), hidden.lengths)
