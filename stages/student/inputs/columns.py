"""The inputs of one batch, for all students: equal sources share one tensor, whoever asks."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ....data.spec import PixelOperationSpec
from ..trial.lane import made_on
from .images import prepare_views
from .spec import InputSource, InputSpec
from .unseen_views import unseen_views


@dataclass(frozen=True, slots=True)
class Column:
    """What B rows hold of one source: token ids int64 (B, T), or arrays (B, ...). `lengths` int64 (B,) says how many
    places of a row are real, where rows were padded; None where all are."""

    values: Tensor
    lengths: Tensor | None = None

    def to(self, device: torch.device) -> "Column":
        """The same on a device."""
        lengths = None if self.lengths is None else self.lengths.to(device, non_blocking=True)
        return Column(self.values.to(device, non_blocking=True), lengths)

    def pin_memory(self) -> "Column":
        """The same in pinned memory, so that the copy overlaps with the device's work."""
        return Column(self.values.pin_memory(), None if self.lengths is None else self.lengths.pin_memory())


@dataclass(frozen=True, slots=True)
class SharedInputs:
    """`views` uint8 (B, H, W, C), None where no student sees an image, and the columns of the other sources. What is
    made of them is made once, on CUDA on the `main` stream."""

    views: Tensor | None
    columns: Mapping[InputSource, Column] = field(default_factory=dict)
    rows: np.ndarray | None = None
    step: int = 0
    main: torch.cuda.Stream | None = None
    _prepared: dict[InputSpec, Tensor] = field(default_factory=dict)
    _unseen: dict[tuple[PixelOperationSpec, ...], "SharedInputs"] = field(default_factory=dict)

    def augmented(self, operations: tuple[PixelOperationSpec, ...]) -> "SharedInputs":
        """The same for students that augment the views themselves, drawn for the `rows` and the `step` of the batch."""
        if not operations or self.views is None:
            return self
        with made_on(self.main):
            if operations not in self._unseen:
                assert self.rows is not None, "only a batch of the stream can be augmented"
                views = unseen_views(self.views, self.rows, self.step, operations)
                self._unseen[operations] = SharedInputs(views, self.columns, main=self.main)
        return self._unseen[operations]

    def inputs(self, takes: Mapping[str, InputSource], rows: int) -> dict[str, Tensor]:
        """What a student that `takes` these inputs gets of the first `rows` rows, companions among them."""
        found: dict[str, Tensor] = {}
        for name, source in takes.items():
            if source.image is not None:
                found[name] = self._image(source.image)[:rows]
            else:
                found |= _with_companion(name, source, self.columns[source], rows)
        return found

    def _image(self, spec: InputSpec) -> Tensor:
        with made_on(self.main):
            if spec not in self._prepared:
                assert self.views is not None, "a student sees images, and the stream reads none"
                self._prepared[spec] = prepare_views(self.views, spec)
        return self._prepared[spec]


def companion(name: str, source: InputSource) -> str | None:
    """The name of the tensor that comes with an input: a text's mask, or the lengths of padded arrays."""
    if source.text is not None:
        return "attention_mask" if name == "input_ids" else f"{name}_attention_mask"
    return f"{name}_lengths" if source.array is not None and source.max_tokens is not None else None


def _with_companion(name: str, source: InputSource, column: Column, rows: int) -> dict[str, Tensor]:
    beside = companion(name, source)
    if beside is None or column.lengths is None:
        return {name: column.values[:rows]}
    lengths = column.lengths[:rows]
    if source.array is not None:
        return {name: column.values[:rows], beside: lengths}
    places = torch.arange(column.values.shape[1], device=lengths.device)
    return {name: column.values[:rows], beside: (places < lengths[:, None]).to(torch.int64)}
