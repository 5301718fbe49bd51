"""The agent: it reads an instruction, looks at a canvas, and says where to click and what lies there.

A small transformer of three parts: a convolutional image encoder that gives one token a cell, a text encoder, and
fusion layers in which cells look at the words and at each other (with relative positions). The answer word is read
through the pointer: it names what the cells hold that the agent would click.

`teacher: {use: teachercache.pipeline.recipes.agent.teacher:load_agent, inputs: {image: image, tokens: labels.tokens}}`
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

TEACHER = Path("data/samples/agent-teacher")


@dataclass(frozen=True, slots=True)
class AgentShape:
    """Sizes of an agent. `channels` of the first three convolutions; the fourth gives `width`."""

    vocabulary: int
    answers: int
    tokens: int = 10
    width: int = 96
    heads: int = 4
    text_layers: int = 1
    fusion_layers: int = 2
    channels: tuple[int, int, int] = (24, 48, 72)
    grid: int = 4


class Attention(nn.Module):
    """Multi-head attention; its probabilities (B, heads, queries, keys) pass through `map`, where they can be heard."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.keys = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.map, self.out = nn.Identity(), nn.Linear(width, width)

    def forward(self, x: Tensor, y: Tensor, bias: Tensor) -> Tensor:
        """x (B, Q, D) looks at y (B, K, D); `bias`, which broadcasts to (B, heads, Q, K), is added to the scores."""
        query = self._split(self.query(x))
        key, value = map(self._split, self.keys(y).chunk(2, dim=-1))
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5 + bias
        seen = self.map(scores.softmax(dim=-1)) @ value
        out: Tensor = self.out(seen.transpose(1, 2).flatten(2))
        return out

    def _split(self, x: Tensor) -> Tensor:
        parted: Tensor = x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return parted


class TextLayer(nn.Module):
    """Self-attention and a feed-forward network, each after a layer norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention, self.forth = Attention(width, heads), _feed_forward(width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        normed = self.norm1(x)
        x = x + self.attention(normed, normed, bias)
        x = x + self.forth(self.norm2(x))
        return x


class FusionLayer(nn.Module):
    """Cells look at the words, then at each other, knowing how far apart they are."""

    def __init__(self, width: int, heads: int, grid: int) -> None:
        super().__init__()
        self.words, self.cells, self.forth = Attention(width, heads), Attention(width, heads), _feed_forward(width)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.near = nn.Parameter(torch.zeros(heads, (2 * grid - 1) ** 2))
        self.register_buffer("steps", _steps(grid), persistent=False)

    def forward(self, x: Tensor, text: Tensor, bias: Tensor) -> Tensor:
        x = x + self.words(self.norm1(x), text, bias)
        normed = self.norm2(x)
        x = x + self.cells(normed, normed, self.near[:, self.get_buffer("steps")])
        x = x + self.forth(self.norm3(x))
        return x


class Agent(nn.Module):
    """`shape` says how large. Points to hear: `image_hidden`, `text_hidden`, `image_mean`, `text_mean`, `fusion.N`,
    `fusion.N.words.map`, `fusion.N.cells.map`, `pointed`, `cell`, `offset`, `answer`."""

    def __init__(self, shape: AgentShape) -> None:
        super().__init__()
        self.shape = shape
        width, (a, b, c) = shape.width, shape.channels
        self.see = nn.Sequential(
            *_convolution(3, a, 4), *_convolution(a, b, 3), *_convolution(b, c, 3), *_convolution(c, width, 3)
        )
        self.place = nn.Parameter(torch.randn(shape.grid**2, width) * 0.02)
        self.word, self.position = nn.Embedding(shape.vocabulary, width), nn.Embedding(shape.tokens, width)
        self.text = nn.ModuleList(TextLayer(width, shape.heads) for _ in range(shape.text_layers))
        self.fusion = nn.ModuleList(FusionLayer(width, shape.heads, shape.grid) for _ in range(shape.fusion_layers))
        self.text_norm, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.cell_head, self.offset_head = nn.Linear(width, 1), nn.Linear(width, 2)
        self.answer_head = nn.Linear(width, shape.answers)
        for name in ("image_hidden", "text_hidden", "image_mean", "text_mean", "pointed", "cell", "offset"):
            self.add_module(name, nn.Identity())
        self.answer = nn.Identity()

    def forward(self, image: Tensor, tokens: Tensor) -> Mapping[str, Tensor]:
        """image float (B, 3, 64, 64) in [0, 1], tokens int64 (B, T) with 0 for padding: `cell` logits (B, cells),
        which are also `logits`; `offset` (B, 2) in cells; `answer` logits (B, answers), and `things`, the same of
        every cell, (B, cells, answers)."""
        seen = self._tap("image_hidden", self.see(2 * image - 1).flatten(2).transpose(1, 2))
        self._tap("image_mean", seen.mean(dim=1))
        text, bias = self._read(tokens)
        fused = seen + self.place
        for layer in self.fusion:
            fused = layer(fused, text, bias)
        cell = self._tap("cell", self.cell_head(self.norm(fused)).squeeze(-1))
        pointed = self._tap("pointed", (cell.softmax(dim=-1)[:, None] @ seen).squeeze(1))
        return {
            "logits": cell,
            "cell": cell,
            "offset": self._tap("offset", self.offset_head(pointed)),
            "answer": self._tap("answer", self.answer_head(pointed)),
            "things": self.answer_head(seen),
        }

    def _read(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Words as vectors (B, T, D), 0 where there are none, and what keeps attention from looking there."""
        real = tokens != 0
        bias = torch.zeros_like(tokens, dtype=self.place.dtype).masked_fill(~real, -1e4)[:, None, None]
        text = self.word(tokens) + self.position.weight[: tokens.shape[1]]
        for layer in self.text:
            text = layer(text, bias)
        text = self._tap("text_hidden", self.text_norm(text) * real[..., None])
        self._tap("text_mean", text.sum(dim=1) / real.sum(dim=1, keepdim=True))
        return text, bias

    def _tap(self, name: str, values: Tensor) -> Tensor:
        tapped: Tensor = self.get_submodule(name)(values)
        return tapped


def save_agent(agent: Agent, folder: Path) -> None:
    """Writes config.json and model.safetensors, in half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.half().contiguous() for name, tensor in agent.state_dict().items()}
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(asdict(agent.shape), indent=2) + "\n", encoding="utf-8")


def load_agent(folder: str = str(TEACHER)) -> Agent:
    """The agent that `save_agent` wrote, in float32, in evaluation mode."""
    config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    agent = Agent(AgentShape(**{**config, "channels": tuple(config["channels"])}))
    agent.load_state_dict({name: x.float() for name, x in load_file(Path(folder) / "model.safetensors").items()})
    return agent.eval()


def agent_loss(said: Mapping[str, Tensor], cell: Tensor, offset: Tensor, answer: Tensor) -> Tensor:
    """The agent's three tasks, from labels: cell int64 (B,), offset (B, 2) in cells, answer int64 (B,)."""
    click = F.smooth_l1_loss(said["offset"], offset, beta=0.05)
    return F.cross_entropy(said["cell"], cell) + F.cross_entropy(said["answer"], answer) + 10 * click


def _feed_forward(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))


def _convolution(given: int, made: int, side: int) -> tuple[nn.Module, ...]:
    """Half the height and width; batch norm, which is what lets so small an encoder learn in minutes."""
    return nn.Conv2d(given, made, side, stride=2, padding=1, bias=False), nn.BatchNorm2d(made), nn.GELU()


def _steps(grid: int) -> Tensor:
    """Which step leads from each cell to each other: int64 (cells, cells), counting rows and columns apart."""
    row, column = (torch.arange(grid**2) // grid, torch.arange(grid**2) % grid)
    down, right = (x[None, :] - x[:, None] + grid - 1 for x in (row, column))
    return down * (2 * grid - 1) + right
