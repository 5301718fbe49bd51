"""The adapter of image classifiers: prepared inputs in, reduced signals out, as float tensors on the device."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...cache.codecs import QueryKey, Ragged
from ...cache.spec import SignalSpec
from ..capture import listen
from ..capture.reduction import reduce_heard
from ..errors import StageError
from .head_ear import HeadEar
from .model import load_classifier
from .signal_schema import Heard, heard_point
from .spec import TeacherSpec

_AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class ImageClassifier:
    """A teacher of the AutoModelForImageClassification family.

    `signals` maps each signal to its spec; calling it returns {signal: (B, ...)} in the model's
    dtype, `Ragged` where rows differ in length, `QueryKey` for `codec: factored`, `HeadLogits` for `codec: head`.
    """

    def __init__(
        self, spec: TeacherSpec, folder: Path, signals: Mapping[str, SignalSpec], device: torch.device
    ) -> None:
        self.device, self._signals = device, dict(signals)
        self._points = {name: heard_point(name, signal) for name, signal in signals.items()}
        self.model = load_classifier(spec, folder, device)
        self._heads = tuple(name for name, signal in signals.items() if signal.codec == "head")
        self._head_ear = HeadEar(self.model) if self._heads else None
        self._listening: AbstractContextManager[Any] = listen(self.model, sorted(set(self._points.values())))
        self._ears = self._listening.__enter__()
        self._autocast = _AUTOCAST.get(spec.autocast or "")

    def __call__(self, inputs: Mapping[str, torch.Tensor]) -> dict[str, Heard]:
        """Run the model once on inputs that are on its device."""
        if self.model.training:
            raise StageError("the teacher is in training mode: dropout would be cached as if it were knowledge")
        with torch.inference_mode(), self._precision():
            self.model(**inputs)
            heard = self._ears.collect()
        found = {name: self._reduce(name, heard[point]) for name, point in self._points.items()}
        if self._head_ear is not None:
            found.update(dict.fromkeys(self._heads, self._head_ear.collect(heard["logits"])))
        return found

    def facts(self) -> dict[str, Any]:
        """For people: class, parameters, bytes of the weights."""
        parameters = list(self.model.parameters())
        return {
            "class": type(self.model).__name__,
            "parameters": sum(p.numel() for p in parameters),
            "bytes": sum(p.numel() * p.element_size() for p in parameters),
        }

    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the logits."""
        names: Mapping[int, str] = self.model.config.id2label  # type: ignore[union-attr,assignment]
        return tuple(str(names[i]) for i in sorted(names))

    def close(self) -> None:
        """Stop listening."""
        if self._head_ear is not None:
            self._head_ear.close()
        self._listening.__exit__(None, None, None)

    def _reduce(self, name: str, values: Tensor | Ragged | QueryKey) -> Heard:
        if isinstance(values, QueryKey):
            return values
        try:
            return reduce_heard(self._signals[name].reduce, values)
        except StageError as error:
            raise StageError(f"cache.signals.{name}: {error}") from error

    def _precision(self) -> AbstractContextManager[Any]:
        if self._autocast is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self._autocast)
