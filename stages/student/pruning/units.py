"""Heads and MLP units of models of transformers: sliced, as many in every layer, so that the config says the form.

`from_pretrained` loads what is left. Where a config cannot say it (heads of BERT and CLIP, whose width is theirs) it is
refused; a model whose layers are no single list, or whose MLP fuses two projections in one tensor, is refused too.
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ...errors import StageError
from ..inputs.shape import InputShape
from ..models.cutting.axes import Axes, axis_kinds
from ..models.cutting.choice import Heads, axis_scores, best, head_indices
from ..models.cutting.origin import without_numbers
from ..models.cutting.parts import Part, model_parts
from ..models.cutting.plan import keep_heads
from ..models.transformers_student import TransformersStudent
from ..trial.randomness import seeded
from .picks import Picks, numbered
from .spec import What

_MODEL = "model."  # where the model stands in a student's state
Sizes = Mapping[tuple[str, str], int]  # (part, heads or mlp): how many a layer has; of heads those that share no key


@dataclass(frozen=True, slots=True)
class UnitPruner:
    """`sizes` is what may lose some and how many there were at first, `inputs` what the student is given."""

    sizes: Sizes
    inputs: Mapping[str, InputShape]

    def prune(self, student: nn.Module, scores: Mapping[str, Tensor], kept: Callable[[int], int]) -> Picks:
        """What is kept of every tensor when of what there were n in a layer the best kept(n) stay."""
        model = _model(student)
        shape, parts = without_numbers(type(model), model.config), model_parts(model)
        axes = axis_kinds(shape, parts, set(self.sizes))
        roots = {name.removeprefix(_MODEL): value.double().cpu().sqrt() for name, value in scores.items()}
        ties = _tied(model, roots)
        chosen: dict[tuple[str, str, int], Tensor] = {}
        for (name, what), size in self.sizes.items():
            part = parts[name]
            for layer in range(part.count):
                inside = [tensor for tensor in axes if tensor.startswith(f"{part.layers}.{layer}.")]
                layer_scores = {
                    kind: axis_scores(inside, axes, (name, kind), ties.__getitem__)
                    for kind in (("heads", "kv") if what == "heads" else (what,))
                }
                for kind, places in _best(part.config(model.config), layer_scores, kept(size)).items():
                    chosen[name, kind, layer] = places
        return {
            f"{_MODEL}{name}": _places(name, tensor, axes, parts, chosen) for name, tensor in shape.state_dict().items()
        }

    def resized(self, student: nn.Module, shapes: Mapping[str, tuple[int, ...]]) -> nn.Module:
        """A student of the form that has tensors of these shapes; what they hold is not yet right."""
        model = _model(student)
        shape, parts = without_numbers(type(model), model.config), model_parts(model)
        axes, config = axis_kinds(shape, parts, set(self.sizes)), deepcopy(model.config)
        for name, what in self.sizes:
            count = _size(shapes, axes, (name, what))
            inside = parts[name].config(config)
            if what == "heads":
                inside.head_dim = head_size(parts[name].config(model.config))
                keep_heads(inside, count // inside.head_dim)
            else:
                inside.intermediate_size = count
        assert isinstance(student, TransformersStudent)
        with seeded(0):  # what it begins with is written over
            found = TransformersStudent(type(model)._from_config(config), student.points, self.inputs)
        found.fresh = student.fresh
        return found.to(next(model.parameters()).device)


def unit_pruner(
    student: TransformersStudent, inputs: Mapping[str, InputShape], what: tuple[What, ...] | None, place: str
) -> UnitPruner:
    """Look for what its config can say with less. Raises StageError where that is nothing, or not what is asked for."""
    model, sizes = student.model, {}
    for name, part in model_parts(model).items():
        config = part.config(model.config)
        if (what is None or "mlp" in what) and isinstance(getattr(config, "intermediate_size", None), int):
            sizes[name, "mlp"] = int(config.intermediate_size)
        if (what is None or "heads" in what) and _can_lose_heads(model, part):
            sizes[name, "heads"] = int(getattr(config, "num_key_value_heads", None) or config.num_attention_heads)
    missing = [word for word in what or () if word not in {kind for _, kind in sizes}]
    if missing or not sizes:
        fewer = " and ".join(missing) or "heads or mlp units"
        raise StageError(
            f"{place}.prune.what: the config of a {type(model).__name__} cannot say fewer {fewer}"
            " (heads need a head_dim that the model reads: ViT and LLaMA have it, BERT and CLIP do not), so that "
            "from_pretrained could not load it"
        )
    axis_kinds(without_numbers(type(model), model.config), model_parts(model), set(sizes))
    return UnitPruner(sizes, inputs)


def head_size(config: Any) -> int:
    """Width of a head."""
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _can_lose_heads(model: Any, part: Part) -> bool:
    """Whether the model becomes smaller when its config says one head (or key) of the same width alone."""
    whole = deepcopy(model.config)
    config = part.config(whole)
    keys = getattr(config, "num_key_value_heads", None) or getattr(config, "num_attention_heads", None)
    if not isinstance(keys, int) or keys < 2:
        return False
    try:
        config.head_dim = size = head_size(config)
        before = without_numbers(type(model), whole)
        keep_heads(config, config.num_attention_heads // keys)
        after = without_numbers(type(model), whole)
        axes = axis_kinds(before, model_parts(before), {(part.name, "heads")})
    except Exception:  # whatever a model's constructor raises
        return False
    was, now = before.state_dict(), after.state_dict()
    heads = config.num_attention_heads * size
    return all(
        now[name].shape[axis] == (heads if kind[1] == "heads" else size)
        for name, kinds in axes.items()
        for axis, kind in enumerate(kinds)
        if kind is not None and was[name].shape[axis] > 1
    )


def _best(config: Any, scores: Mapping[str, Tensor], kept: int) -> dict[str, Tensor]:
    """Places that stay in a layer, by what their axis counts."""
    if "mlp" in scores:
        _check(scores["mlp"])
        return {"mlp": best(scores["mlp"], kept, "magnitude")}
    _check(scores["heads"])
    heads, size = int(config.num_attention_heads), head_size(config)
    keys = int(getattr(config, "num_key_value_heads", None) or heads)
    form = Heads(heads, keys, size, kept * (heads // keys), kept, size)
    queries, pairs = head_indices(scores["heads"], scores["kv"], form, "magnitude")
    return {"heads": queries, "kv": pairs}


def _check(scores: Tensor) -> None:
    if not bool(scores.isfinite().all()) or not bool(scores.any()):
        raise StageError(
            "prune: heads or units of a layer are all worth nothing, so none can be chosen: they did not train before; "
            "prune later (prune.start), or choose importance: l2"
        )


def _places(name: str, tensor: Tensor, axes: Axes, parts: Mapping[str, Part], chosen: Mapping[Any, Tensor]) -> Tensor:
    found = numbered(tensor.shape)
    for axis, kind in enumerate(axes[name]):
        layer = None if kind is None else parts[kind[0]].layer_of(name)
        if kind is not None and layer is not None:
            found = found.index_select(axis, chosen[kind[0], kind[1], layer[0]])
    return found


def _size(shapes: Mapping[str, tuple[int, ...]], axes: Axes, kind: tuple[str, str]) -> int:
    """How many places an axis of a kind has, of the (equal) layers' tensors."""
    return next(
        shapes[f"{_MODEL}{name}"][axis] for name, kinds in axes.items() for axis, one in enumerate(kinds) if one == kind
    )


def _tied(model: Any, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same with tied tensors under each of their names."""
    state = model.state_dict(keep_vars=True)
    known = {id(state[name]): value for name, value in values.items() if name in state}
    return {name: known[id(tensor)] for name, tensor in state.items() if id(tensor) in known}


def _model(student: nn.Module) -> Any:
    assert isinstance(student, TransformersStudent)
    return student.model
