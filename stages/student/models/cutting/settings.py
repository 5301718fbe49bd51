"""What is kept of one part of a model (the whole of it, or one of its towers), as it stands in the YAML."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from ....capture.points import nearest
from ....errors import StageError
from ...mismatch.layers import layer_map

Choice = Literal["magnitude", "first"]
_COUNTED = {"heads": "num_attention_heads", "width": "hidden_size", "mlp": "intermediate_size"}


@dataclass(frozen=True, slots=True)
class Kept:
    """`layers`: how many, or which (counted from 1); `map` says which where it is a number. `heads`, `width` (of the
    residual stream) and `mlp` (width inside the MLP) are numbers; what is None stays whole."""

    layers: int | Sequence[int] | None = None
    map: str = "uniform"
    heads: int | None = None
    width: int | None = None
    mlp: int | None = None

    def chosen_layers(self, count: int, place: str) -> tuple[int, ...]:
        """Which of `count` layers, counted from 0. Raises StageError for those that there are not."""
        if self.layers is None:
            return tuple(range(count))
        listed = not isinstance(self.layers, int)
        number, how = (len(self.layers), self.layers) if listed else (self.layers, self.map)  # type: ignore[arg-type]
        try:
            return tuple(layer - 1 for layer in layer_map(number, count, how))  # type: ignore[arg-type]
        except StageError as error:
            raise StageError(f"{place}.layers: {error}") from error

    def checked(self, config: Any, place: str) -> "Kept":
        """The same with heads and width in accord. Raises StageError for numbers that the model has less of.

        Where a model has no head_dim of its own, its heads share its width: either says the other.
        """
        for name, field in _COUNTED.items():
            wanted, has = getattr(self, name), getattr(config, field, None)
            if wanted is not None and not isinstance(has, int):
                raise StageError(f"{place}.{name}: {type(config).__name__} says no {field}, so it cannot be cut there")
            if wanted is not None and not 0 < wanted <= has:
                raise StageError(f"{place}.{name}: {wanted} of {has} cannot be kept")
        if (self.heads is None and self.width is None) or has_own_heads(config):
            return self
        size = config.hidden_size // config.num_attention_heads
        heads = self.heads if self.heads is not None else (self.width or 0) // size
        width = self.width if self.width is not None else heads * size
        if not heads or width % heads or width // heads > size:
            raise StageError(
                f"{place}.width: heads of {type(config).__name__} share its width ({config.num_attention_heads} heads "
                f"of {size}): {width} is not made of {heads or 'any'} whole heads of at most {size}; give heads too"
            )
        return replace(self, heads=heads, width=width)


def kept_of(given: Any, place: str) -> Kept:
    """Settings of a part. Raises StageError for unknown words and for values that are no numbers."""
    if not isinstance(given, dict):
        raise StageError(f"{place}: a mapping such as {{layers: 4}} is needed, and not {given!r}")
    known = [field.name for field in fields(Kept)]
    for word, value in given.items():
        if word not in known:
            raise StageError(f"{place}.{word}: there is no such cut{nearest(str(word), known)}; there are {known}")
        if word not in ("layers", "map") and value is not None and (not isinstance(value, int) or value is True):
            raise StageError(f"{place}.{word}: a whole number is needed, and not {value!r}")
    layers = given.get("layers")
    numbers = layers if isinstance(layers, list | tuple) else [layers]
    if layers is not None and not all(isinstance(number, int) and number is not True for number in numbers):
        raise StageError(f"{place}.layers: a number of layers or a list of them is needed, and not {layers!r}")
    return Kept(**given)


def has_own_heads(config: Any) -> bool:
    """Whether the width of a head is a setting of its own (LLaMA's), and not width / heads (BERT's)."""
    return isinstance(getattr(config, "head_dim", None), int)
