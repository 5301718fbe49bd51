"""The inputs of a teacher that sees images alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from ....data import Source, ViewPolicy
from ..spec import TeacherSpec
from .binding import bind_inputs, require_inputs
from .prepare import Rows
from .preprocessing import Preprocessor


@dataclass(frozen=True, slots=True)
class ImageInputs:
    """Views as `pixel_values`; a `Prepare`."""

    preprocessor: Preprocessor
    images: ClassVar[bool] = True
    fields: ClassVar[tuple[str, ...]] = ()
    longest: ClassVar[int | None] = None

    def __call__(self, rows: Rows) -> dict[str, Tensor]:
        assert rows.views is not None
        return self.preprocessor(rows.views)


def image_inputs(spec: TeacherSpec, folder: Path, source: Source, policy: ViewPolicy) -> ImageInputs:
    """For image classifiers. Raises StageError when the source has no images."""
    bound = bind_inputs(spec.inputs, {"image": ("image",)}, source.kinds, "image-classifier")
    require_inputs(bound, ("image",), source.kinds, "image-classifier")
    return ImageInputs(Preprocessor(folder, policy.size, policy.channels))
