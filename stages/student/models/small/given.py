"""Which of a student's inputs is its image, its text, its volume or its sequence; and where rows end.

A built-in student takes one input of each kind that it needs, whatever its name; a second one is an error.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from ....capture.points import nearest
from ....errors import StageError
from ...inputs.shape import InputShape


def one_input(inputs: Mapping[str, InputShape], kinds: tuple[str, ...], who: str) -> str:
    """The name of the one input of these kinds. Raises StageError for none, or several."""
    found = [name for name, shape in inputs.items() if shape.kind in kinds]
    if len(found) != 1:
        given = ", ".join(f"{name} ({shape.kind})" for name, shape in inputs.items()) or "none"
        raise StageError(f"inputs: {who} takes one input of {' or '.join(kinds)}, and is given {given}")
    return found[0]


def refuse_others(inputs: Mapping[str, InputShape], known: tuple[str, ...], who: str) -> None:
    """Raise StageError for an input that a student would not look at; masks and lengths go with theirs."""
    for name, shape in inputs.items():
        if name not in known and shape.kind not in ("mask", "lengths"):
            raise StageError(f"inputs.{name}: {who} takes no {shape.kind} beside {', '.join(known)}")


def real_places(inputs: Mapping[str, Tensor], name: str) -> Tensor:
    """(B, T) bool: which places of input `name` (B, T, ...) are real, by its mask or its lengths; all without them."""
    values = inputs[name]
    mask = inputs.get("attention_mask" if name == "input_ids" else f"{name}_attention_mask")
    if mask is not None:
        return mask.to(torch.bool)
    lengths = inputs.get(f"{name}_lengths")
    if lengths is None:
        return torch.ones(values.shape[:2], dtype=torch.bool, device=values.device)
    return torch.arange(values.shape[1], device=values.device) < lengths[:, None]


def as_numbers(values: Tensor) -> Tensor:
    """An array as a layer takes it: whole numbers and true or false as float32, floating point as it is."""
    return values if values.is_floating_point() else values.float()


def last_real(values: Tensor, real: Tensor) -> Tensor:
    """The last real place of each row: (B, T, D) -> (B, D)."""
    last = real.sum(dim=1).clamp_min(1) - 1
    rows = torch.arange(values.shape[0], device=values.device)  # len() would fix the batch of an export
    return values[rows, last]


def mean_real(values: Tensor, real: Tensor) -> Tensor:
    """The mean over the real places of each row: (B, T, D) -> (B, D)."""
    total = values.masked_fill(~real[:, :, None], 0.0).sum(dim=1)
    return total / real.sum(dim=1, keepdim=True).clamp_min(1).to(total.dtype)


def head_sizes(heads: Mapping[str, int] | None, classes: int, who: str) -> dict[str, int]:
    """{output: width} of a student's heads; the classes' logits alone when none are named. Raises StageError."""
    found = dict(heads) if heads is not None else {"logits": classes}
    for name, width in found.items():
        if not isinstance(width, int) or isinstance(width, bool) or width < 1:
            hint = "; the source has no classes: name the heads, such as heads: {logits: 2}" if heads is None else ""
            raise StageError(f"args.heads.{name}: a head of {who} has a width of 1 or more, and not {width!r}{hint}")
    return found


def check_names(outputs: frozenset[str], known: tuple[str, ...], who: str) -> None:
    """Raise StageError, with the nearest, for an output that a student does not have."""
    for name in sorted(outputs - set(known)):
        raise StageError(f"{who} has no output {name!r}{nearest(name, known)}; it has {', '.join(known)}")


def check_stride(stride: int) -> None:
    """Raise StageError for a stride of the first convolution that is neither 1 nor 2."""
    if stride not in (1, 2):
        raise StageError(f"args.stride: {stride!r} is neither 1 nor 2, and 3x3 convolutions would miss pixels")
