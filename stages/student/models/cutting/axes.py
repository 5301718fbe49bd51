"""Which axis of which tensor counts what: the residual stream, the MLP, the heads of attention, the classes.

Found by asking the model: it is built without numbers, once with a size doubled, and the axes that grow are that
size's. Heads are found by the names of attention's four projections, because many configs tie them to the width.
"""

import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from ....errors import StageError
from .origin import without_numbers
from .parts import Part

SIZES = {"width": "hidden_size", "mlp": "intermediate_size"}
_QUERY = re.compile(r"(^|\.)(q_proj|query|q_lin)\.(weight|bias)$")
_KEY_VALUE = re.compile(r"(^|\.)(k_proj|key|k_lin|v_proj|value|v_lin)\.(weight|bias)$")
_OUT = re.compile(r"((^|\.)(o_proj|out_proj|out_lin)|attention\.output\.dense)\.weight$")

Kind = tuple[str, str]  # part, and what the axis counts: width, mlp, heads, kv; or ("", projection or classes)
Axes = Mapping[str, tuple[Kind | None, ...]]


def axis_kinds(model: Any, parts: Mapping[str, Part], asked: set[Kind]) -> Axes:
    """{tensor: what each of its axes counts}, for the kinds `asked`. Raises StageError for tensors in which a size is
    fused with others, and for attention whose projections are not known."""
    found: dict[str, list[Kind | None]] = {name: [None] * t.ndim for name, t in model.state_dict().items()}
    for kind in sorted(asked, key=_order):
        part, what = kind
        if what == "heads":
            _mark_heads(found, model, parts[part])
        elif what == "classes":
            _mark(found, model, kind, model.config, "num_labels")
        elif what == "projection":
            _mark(found, model, kind, model.config, "projection_dim")
        else:
            _mark(found, model, kind, parts[part].config(model.config), SIZES[what])
    return {name: tuple(kinds) for name, kinds in found.items()}


def _order(kind: Kind) -> tuple[int, Kind]:
    """Heads last: where they are tied to the width, both grow together."""
    return int(kind[1] == "heads"), kind


def _mark(found: dict[str, list[Kind | None]], model: Any, kind: Kind, config: Any, field: str) -> None:
    size = getattr(config, field)
    for name, tensor in _with(model, config, field, 2 * size).state_dict().items():
        for axis, (was, now) in enumerate(zip(model.state_dict()[name].shape, tensor.shape, strict=True)):
            if was == now:
                continue
            if (was, now) != (size, 2 * size):
                raise StageError(f"args: {name} fuses {field} ({size}) with others into {was}, which cannot be cut")
            found[name][axis] = kind


def _with(model: Any, config: Any, field: str, size: int) -> Any:
    """The same model with another size, without numbers. `config` is the model's, or a part of it."""
    whole = deepcopy(model.config)
    same = next((name for name, value in vars(model.config).items() if value is config), None)
    setattr(whole if same is None else getattr(whole, same), field, size)
    try:
        return without_numbers(type(model), whole)
    except Exception as error:  # whatever a model's constructor raises
        raise StageError(f"args: {type(model).__name__} cannot be had with another {field} ({error})") from error


def _mark_heads(found: dict[str, list[Kind | None]], model: Any, part: Part) -> None:
    marked: dict[int, int] = {}
    for name, kinds in found.items():
        place = part.layer_of(name)
        if place is None:
            continue
        number, local = place
        if _QUERY.search(local) or _KEY_VALUE.search(local):
            kinds[0] = (part.name, "heads" if _QUERY.search(local) else "kv")
        elif _OUT.search(local):
            kinds[1] = (part.name, "heads")
        else:
            continue
        marked[number] = marked.get(number, 0) + local.endswith("weight")
    if any(marked.get(number) != 4 for number in range(part.count)):
        raise StageError(
            f"args: the attention of {type(model).__name__} is not made of four projections with known names, so its "
            "heads (and a width that is theirs) cannot be cut; layers and mlp can"
        )
