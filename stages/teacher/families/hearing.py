"""A model that is run and heard at the points that signals name: what adapters of every family have in common."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ....cache.codecs import HeadLogits, QueryKey, Ragged
from ....cache.spec import SignalSpec
from ...capture import Listener, listen
from ...capture.reduction import reduce_heard
from ...errors import StageError
from ..signals.signal_schema import Heard, heard_point
from .head_ear import Cut, HeadEar
from .parts import points_by_part
from .refusal import refusals

_AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}
Given = Mapping[str, Tensor | Ragged]  # points that no listener hears, because the adapter computes them


class Hearing:
    """Listens to `model`, and to `parts` of it, which are {name in points: path in the model}: `vision.hidden.3` is
    hidden.3 of part vision.

    `given` are the points that the adapter itself gives in each run; with `whole` False the model is never called as
    one. `asked` are the points that signals name, `parts` those parts that are listened to. Raises StageError for
    points the model lacks.
    """

    def __init__(
        self,
        model: nn.Module,
        signals: Mapping[str, SignalSpec],
        device: torch.device,
        autocast: str | None,
        parts: Mapping[str, str] | None = None,
        given: tuple[str, ...] = (),
        whole: bool = True,
    ) -> None:
        self.model, self._signals = model, dict(signals)
        self._device, self._autocast = device, _AUTOCAST.get(autocast or "")
        self._points = {name: heard_point(name, signal) for name, signal in signals.items()}
        self.asked = frozenset(self._points.values())
        self._heads = tuple(name for name, signal in signals.items() if signal.codec == "head")
        wanted = points_by_part(self.asked.difference(given), parts or {}, whole)
        self.parts = frozenset(wanted)
        self._ears: list[tuple[Mapping[str, str], Listener]] = []
        with ExitStack() as stack:  # nothing stays on the model when a later point is refused
            self._head_ear = HeadEar(model) if self._heads else None
            if self._head_ear is not None:
                stack.callback(self._head_ear.close)
            for part, points in wanted.items():
                module = model.get_submodule((parts or {}).get(part, ""))
                self._ears.append((points, stack.enter_context(listen(module, sorted(points)))))
            self._stack = stack.pop_all()

    def run(
        self, rows: int, call: Callable[[], Given | None], cuts: Mapping[str, Cut] | None = None
    ) -> dict[str, Heard]:
        """What was heard while `call` ran the model once on `rows` rows, by signal; `call` returns the values of the
        given points. `cuts` bring what entered the head to the tokens of a given point of logits; `call` may fill them.
        Raises StageError for a signal that has not one value per row."""
        if self.model.training:
            raise StageError("the teacher is in training mode: dropout would be cached as if it were knowledge")
        if self._head_ear is not None:
            self._head_ear.forget()  # a pass that ran out of memory
        with torch.inference_mode(), self._precision():
            with refusals(self.model):
                given = call() or {}
            heard: dict[str, Any] = {**given, **self._collect()}
        kept = self._entered_heads(heard, cuts)
        found = {name: self._reduce(name, kept.get(name, heard[point])) for name, point in self._points.items()}
        for name, values in found.items():
            _check_rows(name, values, rows)
        return found

    def facts(self) -> dict[str, Any]:
        """For people: class, parameters, bytes of the weights."""
        parameters = list(self.model.parameters())
        return {
            "class": type(self.model).__name__,
            "parameters": sum(p.numel() for p in parameters),
            "bytes": sum(p.numel() * p.element_size() for p in parameters),
        }

    def close(self) -> None:
        """Stop listening."""
        self._stack.close()

    def _collect(self) -> dict[str, Any]:
        return {points[name]: values for points, ears in self._ears for name, values in ears.collect().items()}

    def _entered_heads(self, heard: Mapping[str, Any], cuts: Mapping[str, Cut] | None) -> dict[str, HeadLogits]:
        """What entered the head, of the signals that keep this, each cut as its point's logits are."""
        if self._head_ear is None:
            return {}
        points = self._head_ear.collect({self._points[name]: heard[self._points[name]] for name in self._heads}, cuts)
        return {name: points[self._points[name]] for name in self._heads}

    def _reduce(self, name: str, values: Tensor | Ragged | QueryKey | HeadLogits) -> Heard:
        if isinstance(values, QueryKey):
            return values
        if isinstance(values, HeadLogits):
            return replace(values, hidden=self._reduce(name, values.hidden))
        try:
            return reduce_heard(self._signals[name].reduce, values)
        except StageError as error:
            raise StageError(f"cache.signals.{name}: {error}") from error

    def _precision(self) -> AbstractContextManager[Any]:
        return nullcontext() if self._autocast is None else torch.autocast(self._device.type, dtype=self._autocast)


def _check_rows(name: str, values: Heard, rows: int) -> None:
    side: Any = values.hidden if isinstance(values, HeadLogits) else values
    if isinstance(side, Ragged | QueryKey):
        side = side.values if isinstance(side, Ragged) else side.query
    if len(side) != rows:
        raise StageError(
            f"cache.signals.{name}: {tuple(side.shape)} was heard for {rows} rows, and a signal has one value per row, "
            "rows first"
        )
