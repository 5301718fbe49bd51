"""Students that are models of transformers, built from a config class. Nothing is downloaded.

What a model is (one body, two towers, or an image before a text) decides how its points are heard; the wrapper calls
it with the inputs that it takes, and refuses inputs that it does not take.
"""

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

from torch import Tensor, nn

from ...capture.points import Point, nearest, parse_point
from ...errors import StageError
from ..inputs.shape import InputShape
from .body import Body
from .config_class import build_config, find_config_class, refusals
from .image_before_text import ImageBeforeText, reads_images_as_text
from .task import model_of, resolve_task
from .towers import Towers, has_towers

OUTPUTS = ("image_embeds", "text_embeds", "logits_per_image", "logits_per_text")  # beside the points of a layer


Form = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]


class TransformersStudent(nn.Module):
    """forward({name: (B, ...)}) -> {point: (B, ...)} of the asked points. Padding stays in what has tokens."""

    def __init__(self, model: Any, outputs: Collection[str], inputs: Mapping[str, InputShape]) -> None:
        super().__init__()
        self.model = model
        self.fresh: tuple[str, ...] = ()  # of a student with copied weights: those that began at random
        self.points = tuple(sorted(outputs))
        points = [_point(name) for name in self.points]
        self._takes = frozenset(inspect.signature(model.forward).parameters)
        for name in sorted(set(inputs) - self._takes):
            known = [word for word in self._takes if word not in ("self", "kwargs")]
            raise StageError(
                f"inputs.{name}: {type(model).__name__} takes no such input{nearest(name, known)}; it takes "
                f"{', '.join(word for word in ('pixel_values', 'input_ids', 'attention_mask') if word in known)}"
            )
        self._form = _form(model, points, inputs)

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Raises StageError for points the model does not have."""
        return self._form(inputs)


def build_transformers_student(
    name: str,
    args: Mapping[str, Any],
    inputs: Mapping[str, InputShape],
    classes: int,
    outputs: Collection[str],
    task: str | None = None,
) -> TransformersStudent:
    """The model of config class `name` (`ViTConfig`) for `task`, or for what `outputs` need, randomly initialised.

    Sizes that `args` leave open are filled in as `build_config` says. Raises StageError for a class without such a
    model, arguments it does not have, and sizes that transformers refuses.
    """
    asked = resolve_task(find_config_class(name), task, outputs)
    config = build_config(name, args, inputs, classes if asked.endswith("classification") else 0)
    with refusals(name):
        model = model_of(config, asked, outputs)
    return TransformersStudent(model, outputs, inputs)


def _point(name: str) -> Point:
    """An output's name as a point; what compares two towers is none of theirs."""
    if name in ("logits_per_image", "logits_per_text"):
        return Point(name, "embeds")
    return parse_point(name, paths=True)


def _form(model: Any, points: list[Point], inputs: Mapping[str, InputShape]) -> Form:
    """How this model is called and heard."""
    if reads_images_as_text(model):
        return ImageBeforeText(model, points, inputs)
    return Towers(model, points, inputs) if has_towers(model) else Body(model, points)
