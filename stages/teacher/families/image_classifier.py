"""Image classifiers of transformers: ViT, DeiT, BEiT, ConvNeXt, ResNet, Swin and any other of that Auto class."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ....cache.spec import SignalSpec
from ..signals.signal_schema import Heard
from ..spec import TeacherSpec
from .hearing import Hearing
from .loading import class_names, load_pretrained


class ImageClassifier:
    """A teacher of the AutoModelForImageClassification family; an `Adapter`."""

    def __init__(
        self, spec: TeacherSpec, folder: Path, signals: Mapping[str, SignalSpec], device: torch.device
    ) -> None:
        self.device = device
        self.model = load_pretrained("AutoModelForImageClassification", spec, folder, device)
        self._hearing = Hearing(self.model, signals, device, spec.autocast)

    @property
    def config(self) -> Any:
        return self.model.config

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Heard]:
        """`pixel_values` (B, C, h, w) -> what was heard."""
        return self._hearing.run(len(inputs["pixel_values"]), lambda: _nothing(self.model(**inputs)))

    def facts(self) -> dict[str, Any]:
        return self._hearing.facts()

    def classes(self) -> tuple[str, ...]:
        return class_names(self.model)

    def constants(self) -> Mapping[str, Tensor]:
        return {}

    def close(self) -> None:
        self._hearing.close()


def _nothing(_: Any) -> None:
    """All points of a classifier are heard; none is given."""
