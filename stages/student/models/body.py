"""A model of transformers with one body (an encoder, a classifier, a language model): how it is called and heard."""

import inspect
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...capture import listen
from ...capture.points import Point
from ...errors import StageError


class Body:
    """Calls `model`, and returns `points` of it; without any but `logits` nothing listens.

    `embedding` is what enters the classifier head, and the pooler's output of an encoder without a head. `image_embeds`
    and `text_embeds` are what a tower with a projection returns.
    """

    def __init__(self, model: Any, points: list[Point]) -> None:
        self._model = model
        self._options = {"use_cache": False} if "use_cache" in inspect.signature(model.forward).parameters else {}
        headless = not any(hasattr(model, name) for name in ("classifier", "head", "fc"))
        fields = {"logits": "logits", "image_embeds": "image_embeds", "text_embeds": "text_embeds"}
        if headless:
            fields["embedding"] = "pooler_output"
        self._fields = {point.name: fields[point.name] for point in points if point.name in fields}
        self._heard = [point.name for point in points if point.name not in fields]

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{point: (B, ...)}. Raises StageError for what the model does not return."""
        if not self._heard:
            return self._read(self._model(**inputs, **self._options))
        with listen(self._model, self._heard, cut=False) as ears:
            output = self._model(**inputs, **self._options)
            return self._read(output) | ears.collect()

    def _read(self, output: Any) -> dict[str, Tensor]:
        return {point: _field(self._model, output, field, point) for point, field in self._fields.items()}


def _field(model: Any, output: Any, field: str, point: str) -> Tensor:
    value = getattr(output, field, None)
    if not isinstance(value, Tensor):
        raise StageError(f"{type(model).__name__} returns no {point}; ask hidden.-1 or another point of it")
    return value
