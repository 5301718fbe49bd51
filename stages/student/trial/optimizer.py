"""AdamW (arXiv 1711.05101) with linear warm-up and cosine decay, as pure functions of the settings and the step."""

from collections.abc import Iterable
from math import cos, pi

import torch
from torch import Tensor, nn

from ..spec import OptimizerSpec


def build_optimizer(spec: OptimizerSpec, modules: Iterable[nn.Module], device: torch.device) -> torch.optim.AdamW:
    """AdamW over the parameters of `modules` that train. Vectors (biases, norms' scales) do not decay."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": spec.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    kept = [group for group in groups if group["params"]]
    return torch.optim.AdamW(kept, lr=spec.lr, fused=device.type in ("cpu", "cuda"))


def learning_rate(peak: float, share: float, step: int, steps: int) -> float:
    """The rate of step `step` (0 is the first) of `steps`: it rises to `peak` over `share` of them, then falls as a
    cosine to 0.

    It is set anew each step and keeps no state, so that a trial that continues cannot get it wrong.
    """
    warmup = round(share * steps)
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + cos(pi * (step - warmup) / max(1, steps - warmup)))


def skip_unless_finite(optimizer: torch.optim.AdamW, norm: Tensor) -> None:
    """Have the next step change nothing where the gradient's norm is not finite; the device is not waited for.

    The fused AdamW looks at `found_inf`, which a loss scale would set.
    """
    optimizer.grad_scale = None  # type: ignore[attr-defined]
    optimizer.found_inf = (~norm.isfinite()).to(torch.float32)  # type: ignore[attr-defined]
