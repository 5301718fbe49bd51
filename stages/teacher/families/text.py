"""Teachers that read a text: encoders such as BERT, and classifiers of sequences on top of them."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ....cache.spec import SignalSpec
from ...errors import StageError
from ..signals.signal_schema import Heard
from ..spec import TeacherSpec
from .hearing import Hearing
from .loading import class_names, load_pretrained


class TextEncoder:
    """A teacher of the AutoModel family, an `Adapter`; `embedding` is its pooler's output, where it has a pooler."""

    auto = "AutoModel"
    given: tuple[str, ...] = ("embedding",)

    def __init__(
        self, spec: TeacherSpec, folder: Path, signals: Mapping[str, SignalSpec], device: torch.device
    ) -> None:
        self.device = device
        self.model: Any = load_pretrained(self.auto, spec, folder, device)
        self._takes = frozenset(inspect.signature(self.model.forward).parameters)
        self._hearing = Hearing(self.model, signals, device, spec.autocast, given=self.given)

    @property
    def config(self) -> Any:
        return self.model.config

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Heard]:
        """`input_ids` (B, T), `attention_mask` (B, T) and what else the tokenizer made -> what was heard."""
        known = {name: value for name, value in inputs.items() if name in self._takes}
        return self._hearing.run(len(inputs["input_ids"]), lambda: self._read(known))

    def facts(self) -> dict[str, Any]:
        return self._hearing.facts()

    def classes(self) -> tuple[str, ...]:
        return ()

    def constants(self) -> Mapping[str, Tensor]:
        return {}

    def close(self) -> None:
        self._hearing.close()

    def _read(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        output = self.model(**inputs)
        if "embedding" not in self._hearing.asked:
            return {}
        pooled = getattr(output, "pooler_output", None)
        if pooled is None:
            raise StageError(
                f"embedding: {type(self.model).__name__} has no pooler; keep hidden.-1 with `reduce: mean`, or "
                "`reduce: cls`, whichever the model was trained for"
            )
        return {"embedding": pooled}


class TextClassifier(TextEncoder):
    """A teacher of the AutoModelForSequenceClassification family; `embedding` is what enters its head."""

    auto = "AutoModelForSequenceClassification"
    given = ()

    def classes(self) -> tuple[str, ...]:
        return class_names(self.model)

    def _read(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        self.model(**inputs)
        return {}
