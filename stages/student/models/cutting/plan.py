"""What is cut of a model: its parts, layers and sizes, and the config that is left.

It refuses what the model has less of, and inputs that do not suit it: sizes of images and vocabulary stay the model's.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from ....errors import StageError
from ...inputs.shape import InputShape
from ..config_class import known_facts
from .axes import Kind
from .origin import Origin
from .parts import Part
from .settings import Choice, Kept, has_own_heads, kept_of


@dataclass(frozen=True, slots=True)
class Cut:
    """What is kept of each part, which of its layers (counted from 0), and of the whole: width of the common space,
    number of classes."""

    kept: Mapping[str, Kept]
    layers: Mapping[str, tuple[int, ...]]
    choice: Choice
    projection: int | None = None
    classes: int | None = None

    def kinds(self) -> set[Kind]:
        """The axes that are cut somewhere."""
        found = {(part, what) for part, kept in self.kept.items() for what in ("width", "mlp", "heads")}
        asked = {(part, what) for part, what in found if getattr(self.kept[part], what) is not None}
        asked |= {("", "projection")} if self.projection is not None else set()
        return asked | ({("", "classes")} if self.classes is not None else set())


def cut_settings(
    origin: Origin, parts: Mapping[str, Part], given: Mapping[str, Any], choice: Choice, classes: int
) -> Cut:
    """What `given` (layers, map, heads, width, mlp; or vision and text of them; projection) asks of a model.

    Raises StageError for what the model lacks.
    """
    words = {name: given[name] for name in ("layers", "map", "heads", "width", "mlp") if given.get(name) is not None}
    named = {part: dict(given.get(part) or {}) for part in ("vision", "text") if given.get(part) is not None}
    for tower in named:
        if tower not in parts:
            raise StageError(f"args.{tower}: {origin.model_class.__name__} has no {tower} tower")
    if words and "" not in parts:
        name = origin.model_class.__name__
        raise StageError(f"args.{next(iter(words))}: {name} has towers: say it under vision or text")
    kept, layers = {}, {}
    for key, part in parts.items():
        place = f"args.{key}" if key else "args"
        kept[key] = kept_of(named.get(key, {}) if key else words, place).checked(part.config(origin.config), place)
        layers[key] = kept[key].chosen_layers(part.count, place)
    projection, width = given.get("projection"), getattr(origin.config, "projection_dim", 0)
    if projection is not None and not 0 < projection <= width:
        raise StageError(f"args.projection: {projection} of {width} cannot be kept")
    classifies = origin.model_class.__name__.endswith("Classification")
    changed = classes if classifies and classes and classes != origin.config.num_labels else None
    return Cut(kept, layers, choice, projection, changed)


def cut_config(origin: Origin, parts: Mapping[str, Part], cut: Cut) -> Any:
    """The student's config."""
    config = deepcopy(origin.config)
    for name, part in parts.items():
        inside, kept, layers = part.config(config), cut.kept[name], cut.layers[name]
        _keep_lists(inside, part.count, layers)
        inside.num_hidden_layers = len(layers)
        if kept.heads is not None:
            keep_heads(inside, kept.heads)
        for field, value in (("hidden_size", kept.width), ("intermediate_size", kept.mlp)):
            if value is not None:
                setattr(inside, field, value)
    if cut.projection is not None:
        config.projection_dim = cut.projection
    if cut.classes is not None:
        config.num_labels = cut.classes
    return config


def check_inputs(config: Any, inputs: Mapping[str, InputShape]) -> None:
    """Raise StageError where what the student is given does not suit the model that it is cut from."""
    for field, value in known_facts(inputs).items():
        for place in (config, getattr(config, "vision_config", None), getattr(config, "text_config", None)):
            has = getattr(place, field, None)
            if field == "vocab_size" and has is not None and value > has:
                raise StageError(f"inputs: texts have ids up to {value - 1}, and the model that is cut knows {has}")
            if field in ("image_size", "num_channels") and isinstance(has, int) and has != value:
                hint = f"; set input.size: {has}" if field == "image_size" else ""
                raise StageError(f"inputs: {field} is {value}, and the model that is cut was made for {has}{hint}")


def keep_heads(config: Any, heads: int) -> None:
    """Set the heads of a config. Raises StageError where heads that share a key would be torn apart."""
    keys = getattr(config, "num_key_value_heads", None)
    if keys is not None:
        group = config.num_attention_heads // keys
        if heads % group:
            raise StageError(f"args.heads: {group} heads share a key, and stay together: {heads} is no multiple of it")
        config.num_key_value_heads = heads // group
    if not has_own_heads(config) and getattr(config, "rope_parameters", None):
        raise StageError(f"args.heads: {type(config).__name__} turns its heads by place, and says no head_dim")
    config.num_attention_heads = heads


def _keep_lists(config: Any, count: int, layers: tuple[int, ...]) -> None:
    """Settings that are one per layer (`layer_types`)."""
    for field, value in list(vars(config).items()):
        if "layer" in field and isinstance(value, list) and len(value) == count and field != "layers":
            setattr(config, field, [value[layer] for layer in layers])
