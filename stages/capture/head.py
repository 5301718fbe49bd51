"""Finds a classifier's head, whose input is the pooled embedding, and the linear layer that makes the logits.

It guesses nothing: two candidates are an error.
"""

from typing import Any

from torch import Tensor, nn

from ..errors import StageError

_NAMES = ("classifier", "head", "fc")


def classifier_head(model: nn.Module) -> nn.Module:
    """The child called classifier, head or fc. Raises StageError, naming candidates, unless there is exactly one."""
    found = [name for name in _NAMES if isinstance(getattr(model, name, None), nn.Module)]
    if len(found) != 1:
        what = f"several heads ({', '.join(found)})" if found else f"no child called {' or '.join(_NAMES)}"
        raise StageError(
            f"the capture point 'embedding' is what enters the classifier head, but {type(model).__name__} has {what}; "
            f"its linear layers that could be one: {', '.join(_candidates(model)) or 'none'}. Capture hidden.-1 instead"
        )
    return getattr(model, found[0])  # type: ignore[no-any-return]


def final_linear(model: nn.Module) -> tuple[str, nn.Linear]:
    """The head of a language model, or the last linear layer inside the classifier head, with its name. Raises
    StageError when there is none."""
    ask: Any = getattr(model, "get_output_embeddings", None)
    told = None if ask is None else ask()
    for name, part in model.named_modules():
        if part is told and isinstance(part, nn.Linear):
            return name, part
    head = classifier_head(model)
    linear = [(name, part) for name, part in model.named_modules() if isinstance(part, nn.Linear)]
    inside = [(name, part) for name, part in linear if any(part is module for module in head.modules())]
    if not inside:
        raise StageError(f"the classifier head of {type(model).__name__} holds no linear layer")
    return inside[-1]


def pooled_input(head: nn.Module, values: Tensor) -> Tensor:
    """What enters a head as (B, width). Raises StageError when the head takes something else than one vector."""
    if isinstance(head, nn.Sequential) and len(head) and isinstance(head[0], nn.Flatten):
        values = values.flatten(1)
    if values.ndim != 2:
        raise StageError(
            f"the classifier head takes {tuple(values.shape)}, not one vector a row: there is no 'embedding'"
        )
    return values


def _candidates(model: nn.Module) -> list[str]:
    """Linear layers outside the backbone: direct children, and those as wide as the number of labels."""
    labels = getattr(getattr(model, "config", None), "num_labels", None)
    linear = [(name, part) for name, part in model.named_modules() if isinstance(part, nn.Linear)]
    return [name for name, part in linear if "." not in name or part.out_features == labels]
