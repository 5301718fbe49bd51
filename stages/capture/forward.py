"""What goes into a forward pass and what comes out of it, whatever class of model it is."""

import inspect
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ..errors import StageError


def attention_mask(model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
    """The attention_mask that a model is called with, by name or by place."""
    if "attention_mask" in kwargs or not args:
        return kwargs.get("attention_mask")
    parameters = list(inspect.signature(model.forward).parameters)
    place = parameters.index("attention_mask") if "attention_mask" in parameters else len(args)
    mask: Tensor | None = args[place] if place < len(args) else None
    return mask


def output_field(model: nn.Module, output: Any, name: str) -> Any:
    """`output.name` or `output["name"]`; a bare tensor is the logits. Raises StageError when there is no such field."""
    if isinstance(output, Tensor) and name == "logits":
        return output
    value = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
    if value is None or (isinstance(value, tuple) and not value):
        raise StageError(f"{type(model).__name__} returns no {name}")
    return value


def sample_count(model: nn.Module, output: Any) -> int:
    """Samples of a forward pass; a text or image tower has no logits, and its last hidden state tells."""
    if not isinstance(output, Tensor):
        fields = output if isinstance(output, Mapping) else vars(output)
        state = fields.get("last_hidden_state")
        if isinstance(state, Tensor) and fields.get("logits") is None:
            return len(state)
    return len(output_field(model, output, "logits"))
