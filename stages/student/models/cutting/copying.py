"""The weights of a cut student: what is kept of the model's tensors, read one by one."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from ....errors import StageError
from .axes import Axes, axis_kinds
from .choice import Heads, Place, axis_scores, best, head_indices
from .origin import Origin
from .parts import Part
from .plan import Cut, keep_heads


def copy_weights(student: Any, origin: Origin, parts: Mapping[str, Part], cut: Cut) -> tuple[str, ...]:
    """Write what is kept of the origin's weights into the student, and return the names of what stays random: a head
    for other classes, or for another task.

    Raises StageError for weights that the files lack, and for shapes that do not come out.
    """
    kinds = cut.kinds()
    axes = axis_kinds(origin.shape, parts, kinds) if kinds else {}
    indices = chosen_indices(origin, parts, cut, axes)
    state, fresh = student.state_dict(), []
    for name in _own_names(student):
        source = _renumbered(name, parts, cut)
        if ("", "classes") in axes.get(source, ()) or origin.lacks(source):
            fresh.append(name)
            continue
        with torch.no_grad():
            state[name].copy_(_cut_tensor(name, source, state[name], origin, parts, axes, indices))
    return tuple(fresh)


def chosen_indices(origin: Origin, parts: Mapping[str, Part], cut: Cut, axes: Axes) -> dict[Place, Tensor]:
    """Which places of each axis are kept."""
    found: dict[Place, Tensor] = {}
    if cut.projection is not None:
        kind = ("", "projection")
        found[kind, None] = best(axis_scores(list(axes), axes, kind, origin.read), cut.projection, cut.choice)
    for name, part in parts.items():
        kept, used = cut.kept[name], _used(axes, part, cut.layers[name])
        if kept.width is not None:
            scores = axis_scores(used, axes, (name, "width"), origin.read)
            found[(name, "width"), None] = best(scores, kept.width, cut.choice)
        for layer in cut.layers[name]:
            inside = [tensor for tensor in used if tensor.startswith(f"{part.layers}.{layer}.")]
            if kept.mlp is not None:
                scores = axis_scores(inside, axes, (name, "mlp"), origin.read)
                found[(name, "mlp"), layer] = best(scores, kept.mlp, cut.choice)
            if kept.heads is not None:
                found |= _chosen_heads(origin, part, cut, axes, layer, inside)
    return found


def _chosen_heads(
    origin: Origin, part: Part, cut: Cut, axes: Axes, layer: int, inside: list[str]
) -> dict[Place, Tensor]:
    before = part.config(origin.config)
    after = deepcopy(before)
    kept = cut.kept[part.name]
    keep_heads(after, kept.heads or 0)
    if kept.width is not None:
        after.hidden_size = kept.width
    read, name = origin.read, part.name
    queries = axis_scores(inside, axes, (name, "heads"), read)
    keys = axis_scores(inside, axes, (name, "kv"), read)
    query_rows, key_rows = head_indices(queries, keys, Heads.of(before, after), cut.choice)
    return {((name, "heads"), layer): query_rows, ((name, "kv"), layer): key_rows}


def _cut_tensor(
    name: str,
    source: str,
    wanted: Tensor,
    origin: Origin,
    parts: Mapping[str, Part],
    axes: Axes,
    indices: Mapping[Place, Tensor],
) -> Tensor:
    value = origin.read(source)
    layer = next((found[0] for part in parts.values() if (found := part.layer_of(source)) is not None), None)
    for axis, kind in enumerate(axes.get(source, ())):
        chosen = None if kind is None else indices.get((kind, layer), indices.get((kind, None)))
        if chosen is not None:
            value = value.index_select(axis, chosen)
    if value.shape != wanted.shape:
        raise StageError(
            f"args: {name} of the student is {tuple(wanted.shape)}, and what is left of the model's is "
            f"{tuple(value.shape)}: this model cannot be cut so"
        )
    return value


def _own_names(student: Any) -> list[str]:
    """What is saved of a student, tied tensors once."""
    found: dict[int, str] = {}
    for name, tensor in student.state_dict(keep_vars=True).items():
        found.setdefault(id(tensor), name)
    return list(found.values())


def _renumbered(name: str, parts: Mapping[str, Part], cut: Cut) -> str:
    for key, part in parts.items():
        name = part.renumbered(name, cut.layers[key])
    return name


def _used(axes: Axes, part: Part, layers: tuple[int, ...]) -> list[str]:
    """Tensors of the origin that are in no layer, or in one that is kept."""
    return [name for name in axes if (found := part.layer_of(name)) is None or found[0] in layers]
