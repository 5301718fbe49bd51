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
