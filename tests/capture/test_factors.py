"""Queries, keys and values as heard: they give the attention that the model computes, or they are refused."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from teachercache.cache.codecs import QueryKey
from teachercache.cache.codecs.factored import probabilities
from teachercache.stages.capture import listen
from teachercache.stages.capture.attention import Ear, attention_modules, hearing_attention
from teachercache.stages.capture.factors import RawQueryKey, query_key
from teachercache.stages.errors import StageError

Make = TextModel = Callable[..., nn.Module]
Tokens = Callable[..., dict[str, torch.Tensor]]
LENGTHS = [7, 3, 5]


@pytest.mark.parametrize("family", ["ViTConfig", "Dinov2Config"])
def test_query_and_key_give_the_attention_of_an_image_model(make: Make, images: torch.Tensor, family: str) -> None:
    model = make(family, initializer_range=0.4)
    with listen(model, ["qk.1", "attention.1", "qkv.1"]) as heard, torch.no_grad():
        model(pixel_values=images)
        values = heard.collect()
    assert values["qk.1"].lengths is None and values["qk.1"].causal is False
    torch.testing.assert_close(probabilities(values["qk.1"]), values["attention.1"])
    query, key, _ = values["qkv.1"].unbind(1)
    torch.testing.assert_close((query @ key.mT * 8**-0.5).softmax(-1), values["attention.1"])


@pytest.mark.parametrize(("kind", "causal"), [("bert", False), ("clip", True), ("llama", True)])
@pytest.mark.parametrize("side", ["right", "left"])
def test_query_and_key_give_the_attention_of_a_padded_text_model(
    text_model: TextModel, tokens: Tokens, kind: str, causal: bool, side: str
) -> None:
    model = text_model(kind)
    with listen(model, ["qk.1", "attention.1"]) as heard, torch.no_grad():
        model(**tokens(side))
        values = heard.collect()
    assert values["qk.1"].causal is causal and values["qk.1"].lengths.tolist() == LENGTHS
    assert values["qk.1"].key.shape[1] == (2 if kind == "llama" else 4)  # grouped heads are kept once
    maps = probabilities(values["qk.1"])
    for row, length in enumerate(LENGTHS):
        expected = values["attention.1"].values[row, :, :length, :length]
        torch.testing.assert_close(maps[row, :, :length, :length], expected, atol=2e-6, rtol=1e-4)
        assert maps[row, :, length:].abs().sum() == maps[row, :, :, length:].abs().sum() == 0


def test_only_the_layers_listened_to_pay_and_the_output_stays(make: Make, images: torch.Tensor) -> None:
    model = make("ViTConfig")
    expected = model(pixel_values=images).logits
    with listen(model, ["qkv.0", "qk.2", "attention.2"]) as heard:
        output = model(pixel_values=images).logits
        assert set(heard.collect()) == {"qkv.0", "qk.2", "attention.2"}
    torch.testing.assert_close(output, expected)
    assert not [name for module in attention_modules(model) for name in vars(module) if "teachercache" in name]


def test_qkv_of_grouped_heads_is_refused_and_says_what_to_do(text_model: TextModel, tokens: Tokens) -> None:
    model = text_model("llama")
    with (
        listen(model, ["qkv.0"]),
        pytest.raises(StageError, match=r"\(4, 9, 8\), \(2, 9, 8\), \(2, 9, 8\).*codec: factored"),
    ):
        model(**tokens())


def test_gradients_flow_through_queries_and_keys(make: Make, images: torch.Tensor) -> None:
    model = make("ViTConfig")
    with listen(model, ["qkv.1"]) as heard:
        model(pixel_values=images)
        values = heard.collect()["qkv.1"]
    (gradient,) = torch.autograd.grad(values.square().sum(), attention_modules(model)[1].q_proj.weight)
    assert gradient.abs().sum() > 0


def heard_layer(mask: torch.Tensor | None = None, **options: Any) -> RawQueryKey:
    """What an ear at a layer that looks like attention hears."""
    found: list[RawQueryKey] = []
    layer = nn.Module().eval()
    vars(layer).update(is_causal=False, _teachercache_ears=(Ear("qk", lambda _, values: found.append(values)),))
    draw = torch.Generator().manual_seed(0)
    x = SimpleNamespace(**{name: torch.randn(2, 4, 5, 8, generator=draw) for name in ("query", "key", "value")})
    hearing_attention(layer, x.query, x.key, x.value, mask, **options)
    return found[0]


_CAUSAL = torch.ones(5, 5, dtype=torch.bool).tril().expand(2, 1, 5, 5)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (_CAUSAL & ~_CAUSAL.tril(-3), "with a window"),
        (_CAUSAL | torch.tensor([True, True, False, False, False]), "with a window"),  # a prefix that all see
        (torch.linspace(-2, 0, 50).view(2, 1, 5, 5), "a bias in its mask"),
        (torch.stack([_CAUSAL[:, 0], ~_CAUSAL[:, 0], _CAUSAL[:, 0], _CAUSAL[:, 0]], 1), "heads see different tokens"),
    ],
)
def test_attention_that_query_and_key_do_not_say_is_refused(mask: torch.Tensor, message: str) -> None:
    with pytest.raises(StageError, match=message):
        query_key("qk.0", heard_layer(mask), None)


def test_a_position_bias_is_refused() -> None:
    with pytest.raises(StageError, match="position bias"):
        heard_layer(position_bias=torch.zeros(1, 4, 5, 5))


def test_tokens_that_see_padding_are_refused() -> None:
    padded = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    with pytest.raises(StageError, match="the padding is seen"):
        query_key("qk.0", heard_layer(), padded)
    found = query_key("qk.0", heard_layer(_CAUSAL), padded)  # a causal layer sees no padding that comes later
    assert found.causal and found.lengths.tolist() == [3, 5]


@pytest.mark.parametrize("dtype", [torch.bool, torch.float32])
def test_boolean_and_additive_masks_mean_the_same(dtype: torch.dtype) -> None:
    mask = _CAUSAL if dtype == torch.bool else torch.zeros(2, 1, 5, 5).masked_fill(~_CAUSAL, torch.finfo(dtype).min)
    found = query_key("qk.0", heard_layer(mask), None)
    assert isinstance(found, QueryKey) and found.causal is True
    assert np.allclose(np.triu(probabilities(found)[0, 0].numpy(), 1), 0)
