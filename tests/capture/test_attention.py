"""The listening attention computes what transformers' SDPA computes, for every form of mask that it accepts."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from teachercache.stages.capture.attention import Ear, hearing_attention
from teachercache.stages.errors import StageError


def _layer(**attributes: Any) -> tuple[nn.Module, list[torch.Tensor]]:
    """A module that looks like an attention layer, and what its ear has heard."""
    heard: list[torch.Tensor] = []
    layer = nn.Module().eval()
    vars(layer).update(attributes, _teachercache_ears=(Ear("attention", lambda _, values: heard.append(values)),))
    return layer, heard


def _inputs(key_heads: int = 4) -> SimpleNamespace:
    draw = torch.Generator().manual_seed(0)
    query = torch.randn(2, 4, 5, 8, generator=draw)
    key, value = (torch.randn(2, key_heads, 5, 8, generator=draw) for _ in range(2))
    return SimpleNamespace(query=query, key=key, value=value)


_SEEN = torch.ones(5, 5, dtype=torch.bool).tril().expand(2, 1, 5, 5)


@pytest.mark.parametrize(
    ("attributes", "key_heads", "mask", "options"),
    [
        ({"is_causal": False}, 4, None, {}),
        ({"is_causal": False}, 4, None, {"scaling": 0.7}),
        ({"is_causal": True}, 4, None, {}),
        ({}, 4, None, {}),
        ({"is_causal": True}, 4, None, {"is_causal": False}),
        ({"is_causal": False, "num_key_value_groups": 2}, 2, None, {}),
        ({"is_causal": False}, 4, _SEEN, {}),
        ({"is_causal": True, "num_key_value_groups": 4}, 1, _SEEN, {}),
        ({"is_causal": False}, 4, torch.linspace(-2, 2, 50).view(2, 1, 5, 5), {}),
        ({"is_causal": False}, 4, _SEEN, {"position_bias": torch.linspace(-1, 1, 100).view(1, 4, 5, 5)}),
        ({"is_causal": True}, 4, None, {"position_bias": torch.linspace(-1, 1, 100).view(1, 4, 5, 5)}),
    ],
)
def test_output_equals_sdpa(
    attributes: dict[str, Any], key_heads: int, mask: torch.Tensor | None, options: dict[str, Any]
) -> None:
    layer, heard = _layer(**attributes)
    x = _inputs(key_heads)
    output, _ = hearing_attention(layer, x.query, x.key, x.value, mask, **options)
    expected, _ = sdpa_attention_forward(layer, x.query, x.key, x.value, mask, **options)
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(heard[0].sum(dim=-1), torch.ones(2, 4, 5))


@pytest.mark.parametrize("option", ["softcap", "s_aux"])
def test_attention_that_cannot_be_computed_exactly_is_refused(option: str) -> None:
    layer, _ = _layer()
    x = _inputs()
    with pytest.raises(StageError, match=option):
        hearing_attention(layer, x.query, x.key, x.value, None, **{option: 30.0})
