"""Tiny random image classifiers, one of each anatomy that capture has to tell apart."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn


def _build(config: Any, kind: str = "AutoModelForImageClassification", attention: str | None = None) -> nn.Module:
    import transformers

    torch.manual_seed(0)
    config.architectures = config.architectures or []  # DeiT's two classes are told apart by it, and None is not taken
    builder = getattr(transformers, kind)
    build = builder.from_config if kind.startswith("Auto") else builder._from_config
    return build(config, attn_implementation=attention).eval() if attention else build(config).eval()


def _transformer(name: str, **changes: Any) -> Any:
    import transformers

    sizes = dict(hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=48)
    image = dict(image_size=16, patch_size=4, num_channels=1, num_labels=5)
    return getattr(transformers, name)(**sizes, **image, **changes)


def _resnet() -> Any:
    from transformers import ResNetConfig

    return ResNetConfig(
        num_channels=1, embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=5
    )


def _swin() -> Any:
    from transformers import SwinConfig

    return SwinConfig(
        image_size=16,
        patch_size=2,
        num_channels=1,
        embed_dim=8,
        depths=[1, 1],
        num_heads=[2, 2],
        window_size=4,
        num_labels=5,
    )


@pytest.fixture
def make() -> Callable[..., nn.Module]:
    """make("ViTConfig", attention="eager", **changes), make("resnet"), make("swin"), make("two heads")."""

    def build(name: str, attention: str | None = None, **changes: Any) -> nn.Module:
        if name == "two heads":
            return _build(_transformer("DeiTConfig"), "DeiTForImageClassificationWithTeacher")
        config = {"resnet": _resnet, "swin": _swin}.get(name, lambda: _transformer(name, **changes))()
        return _build(config, attention=attention)

    return build


@pytest.fixture
def images() -> torch.Tensor:
    """Three images (3, 1, 16, 16)."""
    return torch.randn(3, 1, 16, 16, generator=torch.Generator().manual_seed(1))


TEXT: dict[str, Any] = dict(
    vocab_size=60, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48
)


def build_text_model(kind: str, attention: str | None = None) -> nn.Module:
    import transformers

    torch.manual_seed(0)
    configs: dict[str, Any] = {
        "bert": lambda: transformers.BertConfig(**TEXT, max_position_embeddings=16, initializer_range=0.3),
        "clip": lambda: transformers.CLIPTextConfig(
            **TEXT, max_position_embeddings=16, projection_dim=32, eos_token_id=2, initializer_factor=8.0
        ),
        "llama": lambda: transformers.LlamaConfig(**TEXT, num_key_value_heads=2, initializer_range=0.3),
    }
    classes = {"bert": "BertModel", "clip": "CLIPTextModel", "llama": "LlamaForCausalLM"}
    model = getattr(transformers, classes[kind])(configs[kind]()).eval()
    if attention:
        model.set_attn_implementation(attention)
    return model


def padded_tokens(side: str = "right", width: int = 9) -> dict[str, torch.Tensor]:
    """Three rows of 7, 3 and 5 tokens, padded on one side."""
    draw = torch.Generator().manual_seed(1)
    ids, mask = torch.randint(3, 60, (3, width), generator=draw), torch.zeros(3, width, dtype=torch.int64)
    for row, length in enumerate((7, 3, 5)):
        mask[row, slice(0, length) if side == "right" else slice(width - length, width)] = 1
    return {"input_ids": ids * mask + (1 - mask), "attention_mask": mask}


@pytest.fixture
def text_model() -> Callable[..., nn.Module]:
    """text_model("bert"), ("clip"), ("llama" with two key heads for four queries), with attention="eager"."""
    return build_text_model


@pytest.fixture
def tokens() -> Callable[..., dict[str, torch.Tensor]]:
    """tokens("right") or ("left"): input_ids and attention_mask of rows of 7, 3 and 5 tokens."""
    return padded_tokens
