"""How large a model is: numbers that were learnt, with and without embeddings, and bytes.

Embeddings are what turns raw input into tokens and tells where they stand:

- the parameters of every `nn.Embedding` and `nn.EmbeddingBag`, in any model;
- in a transformers model, also every parameter whose dotted name has a part that is, or ends in, embed, embedding or
  embeddings (`vit.embeddings.cls_token`, `...position_embeddings`, `...patch_embeddings.projection.weight`), or that is
  called cls_token, mask_token or distillation_token.

A tied parameter is counted once, and is an embedding when it is one anywhere. A convolutional stem is none, unless
transformers calls it so. Buffers (the statistics of batch norm) are bytes of the file and no parameters.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

_EMBEDDING = re.compile(r"(^|[._])embed(ding)?s?(\.|$)|(^|\.)(cls|mask|distillation)_token$")


@dataclass(frozen=True, slots=True)
class ModelSize:
    """Numbers of parameters."""

    total: int
    without_embeddings: int


def model_size(model: nn.Module) -> ModelSize:
    """Count the parameters of a model."""
    embeddings = {id(parameter): parameter.numel() for parameter in _embeddings(model)}
    total = sum(parameter.numel() for parameter in model.parameters())
    return ModelSize(total, total - sum(embeddings.values()))


def weight_bytes(model: nn.Module) -> int:
    """Bytes of the parameters and buffers that are saved with a model, tied ones once."""
    tensors = {id(tensor): tensor for tensor in model.state_dict(keep_vars=True).values()}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def _embeddings(model: nn.Module) -> Iterator[nn.Parameter]:
    for module in model.modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag):
            yield from module.parameters()
        elif callable(getattr(module, "save_pretrained", None)):
            named = module.named_parameters(remove_duplicate=False)
            yield from (parameter for name, parameter in named if _EMBEDDING.search(name))
