"""Hearing what modules return, found by their path in the model: `layer3.1.conv2`.

A module that is run twice in one pass is refused: which of the two was meant is not known.
"""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from threading import local
from typing import Any

import torch
from torch import Tensor, nn

from ...cache.codecs import Ragged
from ..errors import StageError
from .points import unknown_point
from .ragged import ragged

_FORMS = ("logits", "embedding", "hidden.-1", "attention.-1", "qkv.-1")


class ModuleEars:
    """The modules of `model` at some paths. Raises StageError, with the nearest names, for a path it does not have."""

    def __init__(self, model: nn.Module, paths: Iterable[str]) -> None:
        known = dict(model.named_modules())
        for path in (paths := list(paths)):
            if path not in known:
                raise StageError(unknown_point(path, [*_FORMS, *known]))
        self._modules = {path: known[path] for path in paths}
        self._thread = local()

    def attach(self, stack: ExitStack) -> None:
        """Listen until `stack` is left."""
        for path, module in self._modules.items():
            stack.callback(module.register_forward_hook(partial(self._hear, path)).remove)

    def forget(self) -> None:
        """A new pass of this thread begins."""
        self._thread.heard = {}

    def collect(self, path: str, mask: Tensor | None, rows: int | None = None) -> Tensor | Ragged:
        """What the module returned in this pass; cut to real tokens where the model was told which are real. With
        `rows`, what a module said that ran once a row stands side by side."""
        heard = self._thread.heard.pop(path, [])
        if rows is not None and len(heard) == rows > 1:
            return _side_by_side([_tensor(path, output) for output in heard], path)
        if len(heard) != 1:
            raise StageError(f"module {path} ran {len(heard)} times in one pass, not once: hear one that runs once")
        values = _tensor(path, heard[0])
        return values if mask is None or values.ndim < 3 else ragged(values, mask, (0,))

    def _hear(self, path: str, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self._thread.__dict__.setdefault("heard", {}).setdefault(path, []).append(output)


def _side_by_side(rows: list[Tensor], path: str) -> Tensor:
    """One row each, with an axis of one row or without."""
    if len({row.shape for row in rows}) != 1:
        raise StageError(f"module {path} returns rows of different shapes: they cannot stand side by side")
    return torch.cat(rows) if len(rows[0]) == 1 else torch.stack(rows)


def _tensor(path: str, output: Any) -> Tensor:
    """The tensor that a module returned, or the first of a tuple (an LSTM's, a transformer layer's)."""
    if isinstance(output, Mapping):
        output = output.get("last_hidden_state", next(iter(output.values()), None))
    while isinstance(output, tuple | list) and output:
        output = output[0]
    if not isinstance(output, Tensor) or output.ndim == 0:
        raise StageError(f"module {path} returns {type(output).__name__}, and a signal is a tensor with a row a sample")
    return output
