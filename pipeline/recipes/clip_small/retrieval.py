"""How well a CLIP finds the caption of a picture, the picture of a caption, and the group of a picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import CLIPModel, PreTrainedTokenizerFast

# What stands for each of GROUPS, in their order: words that captions have, too.
PROMPTS = (
    "a picture of face",
    "a picture of person",
    "a picture of animal",
    "a picture of food",
    "a picture of building",
    "a picture of sport",
    "a picture of tool",
    "a picture of symbol button",
    "a picture of flag",
)


@dataclass(frozen=True, slots=True)
class Pairs:
    """images uint8 (n, 32, 32, 3), captions of each, the name first, and groups int64 (n,), -1 for none."""

    images: Tensor
    captions: Sequence[Sequence[str]]
    groups: Tensor


@torch.inference_mode()
def measure(model: CLIPModel, tokenizer: PreTrainedTokenizerFast, pairs: Pairs) -> dict[str, float]:
    """In percent, among all pairs and by their names: R@1 and R@5 both ways, and zero-shot accuracy of groups."""
    images = unit(model.get_image_features(pairs.images.permute(0, 3, 1, 2).float() / 127.5 - 1).pooler_output)
    names = embed(model, tokenizer, [texts[0] for texts in pairs.captions])
    prompts = embed(model, tokenizer, PROMPTS)
    similar = images @ names.T
    found = {f"image to text R@{k}": recall(similar, k) for k in (1, 5)}
    found |= {f"text to image R@{k}": recall(similar.T, k) for k in (1, 5)}
    right = (images @ prompts.T).argmax(dim=-1) == pairs.groups
    return {**found, "zero-shot": 100 * float(right.float().mean())}


def recall(similar: Tensor, k: int) -> float:
    """Rows (n, n) whose own column is among their `k` most similar ones, in percent."""
    best = similar.topk(k, dim=-1).indices
    return 100 * float((best == torch.arange(len(similar))[:, None]).any(dim=-1).float().mean())


def embed(model: CLIPModel, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> Tensor:
    """Texts in the common space, each of length 1: (n, D)."""
    tokens = tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
    return unit(model.get_text_features(**tokens).pooler_output)


def unit(x: Tensor) -> Tensor:
    """Each row of length 1."""
    length: Tensor = x.norm(dim=-1, keepdim=True)
    return x / length
