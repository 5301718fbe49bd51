"""Which points a model has, found by running it once. For error messages, `check`, and for people."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ...cache.codecs import Ragged
from ..errors import StageError
from .attention import attention_modules
from .listen import listen


def describe_points(model: nn.Module, inputs: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """{point: shape of one row} of every point of `model`, from one forward pass of `inputs` in evaluation mode.

    The model's mode, weights and statistics stay as they were.
    """
    with evaluating(model), torch.no_grad():
        layers = range(len(attention_modules(model)))
        attention = [[f"{kind}.{index}" for index in layers] for kind in ("attention", "qkv")]
        groups = (["logits"], ["embedding"], _hidden_points(model, inputs), *attention)
        return {name: shape for points in groups for name, shape in _shapes(model, inputs, points).items()}


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode within the context; each module's own mode comes back after it."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _shapes(model: nn.Module, inputs: Mapping[str, Tensor], points: list[str]) -> dict[str, tuple[int, ...]]:
    """The shapes of points that may or may not exist."""
    try:
        with listen(model, points) as heard:
            model(**inputs)
            return {name: tuple(_padded(values).shape[1:]) for name, values in heard.collect().items()}
    except StageError:
        return {}


def _padded(values: Tensor | Ragged) -> Tensor:
    padded: Tensor = values.values if isinstance(values, Ragged) else values
    return padded


def _hidden_points(model: nn.Module, inputs: Mapping[str, Tensor]) -> list[str]:
    if not hasattr(model, "config"):
        return []
    states = getattr(model(**inputs, output_hidden_states=True), "hidden_states", None) or ()
    return [f"hidden.{index}" for index in range(len(states))]
