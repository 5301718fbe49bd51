"""An LSTM for sequences whose lengths differ: of numbers (B, T, F), or of token ids (B, T).

Outputs: a tensor (B, width) for each head (`logits` by default), `embedding` (B, hidden), `hidden.N` (B, T, width), the
states after layer N (0: what enters the first), 0 where padded; `exit.N` of `exits: [N]`, logits read after layer N.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from ....errors import StageError
from ...inputs.shape import InputShape
from .given import as_numbers, check_names, head_sizes, last_real, mean_real, one_input, real_places, refuse_others

_WHO = "lstm"


class Lstm(nn.Module):
    """forward({sequence: (B, T, F) or ids (B, T), its lengths or mask}) -> the outputs above."""

    def __init__(
        self,
        sequence: str,
        enter: nn.Module,
        layers: nn.ModuleList,
        heads: nn.ModuleDict,
        exits: nn.ModuleDict,
        pool: str,
    ) -> None:
        super().__init__()
        self._sequence, self._pool = sequence, last_real if pool == "last" else mean_real
        self.enter, self.layers, self.heads, self.exits = enter, layers, heads, exits

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        real = real_places(inputs, self._sequence)
        # nothing of the padding on the right comes back to real places: every layer reads from left to right
        values = inputs[self._sequence]  # (B, T) are token ids
        state = self.enter(as_numbers(values) if values.ndim == 3 else values).masked_fill(~real[:, :, None], 0.0)
        found = {"hidden.0": state}
        for number, layer in enumerate(self.layers, 1):
            state = layer(state)[0].masked_fill(~real[:, :, None], 0.0)
            found[f"hidden.{number}"] = state
            if str(number) in self.exits:
                found[f"exit.{number}"] = self.exits[str(number)](self._pool(state, real))
        found["hidden.-1"], found["embedding"] = state, self._pool(state, real)
        return found | {name: head(found["embedding"]) for name, head in self.heads.items()}


def build_lstm(
    inputs: Mapping[str, InputShape],
    classes: int,
    outputs: frozenset[str],
    hidden: int = 64,
    layers: int = 2,
    embedding: int | None = None,
    pool: str = "last",
    heads: Mapping[str, int] | None = None,
    exits: Sequence[int] = (),
) -> Lstm:
    """`embedding`: width that numbers or tokens are brought to first (`hidden` for tokens; numbers enter as they are).
    `pool` last or mean. Raises StageError unless it is given one sequence, and for exits after no layer."""
    sequence = one_input(inputs, ("array", "tokens"), _WHO)
    refuse_others(inputs, (sequence,), _WHO)
    sizes = head_sizes(heads, classes, _WHO)
    enter, width = _enter(inputs[sequence], sequence, embedding, hidden)
    if pool not in ("last", "mean"):
        raise StageError(f"args.pool: {pool!r} is neither last nor mean")
    if any(exit not in range(1, layers) for exit in exits):
        raise StageError(f"args.exits: exits of {layers} layers are after layers 1 to {layers - 1}, not {list(exits)}")
    names = (*sizes, "embedding", *(f"hidden.{n}" for n in range(-1, layers + 1)), *(f"exit.{n}" for n in exits))
    check_names(outputs, names, _WHO)
    stack = [nn.LSTM(width if number == 0 else hidden, hidden, batch_first=True) for number in range(layers)]
    linear = nn.ModuleDict({name: nn.Linear(hidden, size) for name, size in sizes.items()})
    early = nn.ModuleDict({str(number): nn.Linear(hidden, next(iter(sizes.values()))) for number in exits})
    return Lstm(sequence, enter, nn.ModuleList(stack), linear, early, pool)


def _enter(shape: InputShape, name: str, embedding: int | None, hidden: int) -> tuple[nn.Module, int]:
    """What brings an input to (B, T, width), and that width."""
    if shape.kind == "tokens":
        if shape.vocabulary is None:
            raise StageError(f"inputs.{name}: its vocabulary must be known")
        return nn.Embedding(shape.vocabulary, embedding or hidden), embedding or hidden
    if len(shape.shape) != 2 or shape.shape[1] is None:
        raise StageError(f"inputs.{name}: a sequence is (T, F) a row, and this is {shape.shape}")
    features = shape.shape[1]
    return (nn.Identity(), features) if embedding is None else (nn.Linear(features, embedding), embedding)
