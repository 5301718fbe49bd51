"""What a finished student is given of held-out samples: what it was trained on, and blanks for what a set lacks.

Only a set of prompts lacks something: its samples are texts. A text embedding that hangs on the image would then mean
nothing, which `answers` finds by giving two different blanks.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import StageError
from ...student.inputs.columns import SharedInputs
from ...student.inputs.shape import InputShape, blank_inputs
from ...student.inputs.spec import InputSource
from .candidate import Candidate
from .held_out import HeldOut


@dataclass(frozen=True, slots=True)
class Giver:
    """The inputs of one student on one set: `takes` those that the set has, `lacking` the shapes of the others."""

    name: str
    takes: Mapping[str, InputSource]
    lacking: Mapping[str, InputShape]
    device: torch.device

    def inputs(self, shared: SharedInputs, rows: int, value: float = 0.0) -> dict[str, Tensor]:
        """What its forward gets of the first `rows` rows of a batch; blank images and arrays are all `value`."""
        blank = blank_inputs(self.lacking, rows, self.device)
        filled = {name: one.fill_(value) if one.is_floating_point() else one for name, one in blank.items()}
        return {**filled, **shared.inputs(self.takes, rows)}


def giver(candidate: Candidate, held_out: HeldOut, device: torch.device, texts_alone: bool = False) -> Giver:
    """The inputs of a finished student. With `texts_alone` a set may lack the others, else that is an error.

    Raises StageError for a student that was trained on other views, or that takes what the samples do not have.
    """
    student, shape = candidate.saved.student, candidate.saved.shape
    takes = {name: one for name, one in student.takes.items() if one.field in held_out.kinds or not texts_alone}
    if any(one.image is not None for one in takes.values()):
        _check_views(candidate, held_out)
    missing = [name for name in student.takes if name not in takes]
    shapes = shape.completed(student).inputs if missing else {}
    lacking = {name: one for name, one in shapes.items() if any(name.startswith(absent) for absent in missing)}
    return Giver(student.name, takes, lacking, device)


def _check_views(candidate: Candidate, held_out: HeldOut) -> None:
    shape, seen = candidate.saved.shape, held_out.view_shape
    learnt = (shape.size, shape.size, shape.channels)
    if seen != learnt:
        raise StageError(
            f"{candidate.folder}: this student was trained on views of shape {learnt}, and the held-out views are "
            f"{seen}; evaluate it with the `views` that it was trained with"
        )
