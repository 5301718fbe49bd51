"""Attention that says where it looked, and the transformer layers made of it. Padded keys are never looked at."""

from torch import Tensor, nn

from ....errors import StageError


class Attention(nn.Module):
    """Vaswani et al. 2017: queries (B, Q, width) look at (B, K, width) -> values (B, Q, width), and the weights
    (B, heads, Q, K). `real` (B, K) bool says which keys there are; a row without any looks at all of them.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise StageError(f"args.attention_heads: {heads} heads do not divide a width of {width}")
        self._heads = heads
        self.query, self.key_value, self.out = (nn.Linear(width, n * width) for n in (1, 2, 1))

    def forward(self, queries: Tensor, others: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        query = self._split(self.query(queries))
        key, value = (self._split(part) for part in self.key_value(others).chunk(2, dim=-1))
        scores = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
        hidden = ~(real | ~real.any(dim=1, keepdim=True))[:, None, None, :]
        weights = scores.float().masked_fill(hidden, float("-inf")).softmax(dim=-1).to(value.dtype)
        seen: Tensor = self.out((weights @ value).transpose(1, 2).flatten(2))
        return seen, weights

    def _split(self, values: Tensor) -> Tensor:
        heads: Tensor = values.unflatten(-1, (self._heads, -1)).transpose(1, 2)
        return heads


class Layer(nn.Module):
    """A transformer layer, norms first: tokens (B, T, width), `real` (B, T) -> tokens, weights (B, heads, T, T)."""

    def __init__(self, width: int, heads: int, mlp: int) -> None:
        super().__init__()
        self.attention, self.mlp = Attention(width, heads), _mlp(width, mlp)
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, tokens: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        normed = self.norm_attention(tokens)
        seen, weights = self.attention(normed, normed, real)
        tokens = tokens + seen
        return tokens + self.mlp(self.norm_mlp(tokens)), weights


class Fusion(nn.Module):
    """Text looks at the image, then the image at the text: (B, T, width), (B, n, width) -> both, and what the text
    looked at (B, heads, T, n)."""

    def __init__(self, width: int, heads: int, mlp: int) -> None:
        super().__init__()
        self.look, self.listen, self.mlp = Attention(width, heads), Attention(width, heads), _mlp(width, mlp)
        self.norm_text, self.norm_image, self.norm_mlp, self.norm_heard = (nn.LayerNorm(width) for _ in range(4))

    def forward(self, text: Tensor, image: Tensor, real: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        seen, weights = self.look(self.norm_text(text), self.norm_image(image), real.new_ones(image.shape[:2]))
        text = text + seen
        text = text + self.mlp(self.norm_mlp(text))
        heard, _ = self.listen(self.norm_image(image), self.norm_heard(text), real)
        return text, image + heard, weights


def _mlp(width: int, inside: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, inside), nn.GELU(), nn.Linear(inside, width))
