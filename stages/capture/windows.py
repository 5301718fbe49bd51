"""Attention inside windows (Swin): the windows of a sample stand beside its heads, so that a row is one sample.

A layer says maps (B x windows, heads, T, T), T tokens of a window; a row of it is (windows x heads, T, T), window by
window in the model's own order (of the shifted image where the layer shifts), and head by head inside each. So it is
with queries, keys and values: (3, windows x heads, T, d). Tokens of different windows do not see each other, so nothing
is left out. It refuses to keep such maps as queries and keys, and every other attention that is not one map a sample.
"""

from typing import Any

from torch import Tensor, nn

from ..errors import StageError

_WINDOWED = ("SwinAttention",)  # of transformers; these run through its attention interface, window by window


def window_modules(model: nn.Module) -> list[nn.Module]:
    """The attention modules of a model whose attention is inside windows, in the order of its layers."""
    return [module for module in model.modules() if is_windowed(module)]


def is_windowed(module: nn.Module) -> bool:
    """Whether the module's attention is inside windows, of which it gets those of a sample side by side."""
    return type(module).__name__ in _WINDOWED and type(module).__module__.startswith("transformers.")


def folded(kind: str, values: Any, rows: int) -> Tensor:
    """Maps (rows x windows, heads, T, T), sample by sample -> (rows, windows x heads, T, T), and queries, keys and
    values (rows x windows, 3, heads, T, d) -> (rows, 3, windows x heads, T, d). Raises StageError for other kinds."""
    if kind not in ("attention", "qkv"):
        raise StageError(
            "attention inside windows has a bias for each pair of places, which queries and keys do not say: keep it "
            "with u8sqrt, not factored"
        )
    by_window: Tensor = values.unflatten(0, (rows, -1))
    return by_window.flatten(1, 2) if kind == "attention" else by_window.movedim(1, 2).flatten(2, 3)
