"""Multiply-accumulates of one forward pass: half of what torch.utils.flop_counter counts of a batch of one row.

Attention is computed in the explicit way while it counts, because the counter knows no fused attention on the CPU, and
LSTMs without oneDNN, whose fused layers it does not know either.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ...capture import evaluating


def multiply_accumulates(model: nn.Module, inputs: Mapping[str, Tensor]) -> int:
    """Of `model(inputs)` on the CPU; the model's mode and attention stay as they were."""
    counter = FlopCounterMode(display=False)
    with evaluating(model), _explicit_attention(model), _no_fused_layers():
        with torch.no_grad(), counter:
            model(inputs)
    return int(counter.get_total_flops()) // 2


@contextmanager
def _no_fused_layers() -> Iterator[None]:
    """torch.backends.mkldnn.flags would do, and warns of other devices' settings."""
    before = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(before)


@contextmanager
def _explicit_attention(model: nn.Module) -> Iterator[None]:
    """Within the context every model of transformers inside uses its eager attention."""
    from transformers import PreTrainedModel

    found = [part for part in model.modules() if isinstance(part, PreTrainedModel)][:1]
    before = [(part, part.config._attn_implementation) for part in found]
    for part in found:
        part.set_attn_implementation("eager")
    try:
        yield
    finally:
        for part, implementation in before:
            part.set_attn_implementation(implementation or "sdpa")
