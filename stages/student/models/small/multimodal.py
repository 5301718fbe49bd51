"""A light student of an image and an instruction: text layers, a small vision encoder, cross-attention, several heads.

Outputs, beside one tensor (B, width) for each head: `text.hidden.N` (B, T, width), the text after layer N, and
`text.attention.N` (B, heads, T, T); `vision.hidden.N` (B, n, width), the image's tokens (0: as the encoder makes them),
and `vision.attention.N`; `fusion.attention.N` (B, heads, T, n), what the text looks at; `fusion.text.N` and
`fusion.image.N`, both after fusion layer N; `embedding` (B, width), the text as a whole; `exit.N` of `exits: [N]`.
Places of padded tokens are 0.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .given import mean_real, real_places
from .heads import Heads


class Multimodal(nn.Module):
    """forward({image: (B, C, H, W), text: ids (B, T) int64, its mask}) -> the outputs above."""

    def __init__(
        self,
        names: tuple[str, str],
        words: nn.Embedding,
        longest: int,
        eyes: nn.Module,
        layers: Mapping[str, nn.ModuleList],
        heads: Heads,
        exits: nn.ModuleDict,
    ) -> None:
        super().__init__()
        self._image, self._text = names
        self.words, self.eyes, self.heads, self.exits = words, eyes, heads, exits
        self.positions = nn.Embedding(longest, words.embedding_dim)
        self.text_layers, self.vision_layers, self.fusion_layers = (
            layers[name] for name in ("text", "vision", "fusion")
        )

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Raises StageError for a text that is longer than it was made for."""
        ids, real = inputs[self._text], real_places(inputs, self._text)
        text = self.words(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))
        image = self.eyes(inputs[self._image])
        found: dict[str, Tensor] = {}
        text = _run(self.text_layers, "text", text, real, found)
        image = _run(self.vision_layers, "vision", image, real.new_ones(image.shape[:2]), found)
        for number, layer in enumerate(self.fusion_layers):
            text, image, looked = layer(text, image, real)
            text = _blank(text, real)
            found[f"fusion.attention.{number}"] = looked.masked_fill(~real[:, None, :, None], 0.0)
            found |= {f"fusion.text.{number + 1}": text, f"fusion.image.{number + 1}": image}
            if str(number + 1) in self.exits:
                found |= {f"exit.{number + 1}": self.exits[str(number + 1)](mean_real(text, real), image)}
        found["embedding"] = mean_real(text, real)
        return {**found, **self.heads(found["embedding"], image)}


def _run(layers: nn.ModuleList, part: str, tokens: Tensor, real: Tensor, found: dict[str, Tensor]) -> Tensor:
    """One tower, whose states and weights are noted in `found`."""
    found[f"{part}.hidden.0"] = tokens = _blank(tokens, real)
    for number, layer in enumerate(layers):
        tokens, weights = layer(tokens, real)
        tokens = _blank(tokens, real)
        found[f"{part}.hidden.{number + 1}"] = tokens
        found[f"{part}.attention.{number}"] = weights.masked_fill(~real[:, None, :, None], 0.0)
    return tokens


def _blank(tokens: Tensor, real: Tensor) -> Tensor:
    return tokens.masked_fill(~real[:, :, None], 0.0)
