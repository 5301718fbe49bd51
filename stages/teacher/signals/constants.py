"""What is kept once beside the signals of a teacher: the head of logits of which only the head's input is kept."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ....cache.codecs import HeadLogits


def head_constants(signal: str) -> dict[str, str]:
    """The names of a head's weight and bias among the constants of a cache, by argument of the codec."""
    return {"weight": f"{signal}.weight", "bias": f"{signal}.bias"}


def heard_constants(heard: Mapping[str, Any]) -> dict[str, Tensor]:
    """The constants of signals that were heard, by name, on the teacher's device."""
    heads = ((head_constants(name), values) for name, values in heard.items() if isinstance(values, HeadLogits))
    return {names[side]: getattr(values, side) for names, values in heads for side in names}


def host_constants(heard: Mapping[str, Any], others: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """The same and `others` as arrays: float16 as it is, all else as float32, which holds bfloat16 exactly."""
    found = {**others, **heard_constants(heard)}
    kept = {name: x if x.dtype == torch.float16 else x.float() for name, x in found.items()}
    return {name: values.detach().cpu().numpy() for name, values in kept.items()}
