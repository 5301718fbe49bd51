"""The parts of a model that can be cut apart: the whole, or each of its towers; and where their layers are."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from ....errors import StageError

TOWERS = ("vision", "text")


@dataclass(frozen=True, slots=True)
class Part:
    """`field` is where its config stands in the model's ("" for the whole), `layers` the path of its list of layers."""

    name: str
    field: str
    layers: str
    count: int

    def config(self, whole: Any) -> Any:
        """Its config in the model's."""
        return getattr(whole, self.field) if self.field else whole

    def layer_of(self, name: str) -> tuple[int, str] | None:
        """(number of the layer, name in it) of a tensor of its layers; None for one that is in none."""
        if not name.startswith(f"{self.layers}."):
            return None
        number, _, rest = name.removeprefix(f"{self.layers}.").partition(".")
        return int(number), rest

    def renumbered(self, name: str, chosen: tuple[int, ...]) -> str:
        """The tensor of the model that a tensor of the student comes from."""
        found = self.layer_of(name)
        return name if found is None else f"{self.layers}.{chosen[found[0]]}.{found[1]}"


def model_parts(model: Any) -> dict[str, Part]:
    """{"": the whole} or {"vision": ..., "text": ...}. Raises StageError for a model whose layers are not one list."""
    config = model.config
    towers = [name for name in TOWERS if hasattr(config, f"{name}_config")]
    if not towers:
        return {"": _part(model, "", "", config)}
    found = {}
    for name in towers:
        field = f"{name}_config"
        inside = [
            (path, module)
            for path, module in model.named_modules()
            if type(getattr(module, "config", None)) is type(getattr(config, field)) and path
        ]
        if inside:  # a classifier on one tower has the other's config, and no such tower
            path, module = inside[0]
            found[name] = _part(module, name, field, getattr(config, field), f"{path}.")
    return found


def _part(module: nn.Module, name: str, field: str, config: Any, prefix: str = "") -> Part:
    count = getattr(config, "num_hidden_layers", None)
    lists = [
        path
        for path, inside in module.named_modules()
        if isinstance(inside, nn.ModuleList) and len(inside) == count and _are_layers(inside)
    ]
    if len(lists) != 1:
        raise StageError(
            f"{type(module).__name__} is no stack of layers that could be cut: it has "
            f"{f'{len(lists)} lists of {count} layers' if count else 'no num_hidden_layers'}"
        )
    return Part(name, field, prefix + lists[0], int(count or 0))


def _are_layers(inside: nn.ModuleList) -> bool:
    """Layers have layers inside; a list of linear maps or norms is none."""
    return all(any(True for _ in module.children()) for module in inside)
