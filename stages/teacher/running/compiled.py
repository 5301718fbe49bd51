"""`teacher.compile: true`: the layers of a model run through torch.compile, layer by layer, as many as nobody listens
inside of. Ears are never compiled: a layer that is listened to stays as it is, and its quiet parts are compiled.

What the compiled teacher says of the first rows is held against what it said before, so that a point that is no longer
heard, or is heard wrongly, is an error before a row is kept.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ....cache.codecs import HeadLogits, QueryKey, Ragged
from ...capture.attention import heard_inside_attention
from ...errors import StageError
from ..families.adapter import Adapter
from ..independence import SLACK
from ..signals.signal_schema import Heard
from ..spec import TeacherSpec
from .memory import ran_out

_PACKAGE = __name__.partition(".stages")[0]
_LISTS = (nn.ModuleList, nn.Sequential)


def compile_teacher(
    teacher: Adapter, spec: TeacherSpec, inputs: Mapping[str, Tensor], backend: str = "inductor"
) -> str:
    """Compile what can be; returns a remark. `inputs` are some rows on its device.

    Raises StageError where nothing can be compiled, where compiling fails, and where the compiled teacher says
    something else than before.
    """
    before = teacher(inputs)
    count = compile_layers(_model(teacher), "attention_mask" in inputs, backend)
    if not count:
        raise StageError(f"teacher.compile: {type(_model(teacher)).__name__} has no part that could be compiled")
    try:
        after = teacher(inputs)
    except Exception as error:
        if ran_out(error):
            raise
        raise StageError(
            f"teacher.compile: torch.compile failed here ({_first_line(error)}); it needs a C++ compiler, and on a GPU "
            "Triton. Set teacher.compile: false"
        ) from error
    for name, values in before.items():
        _compare(name, values, after[name], SLACK[spec.autocast or spec.dtype])
    return f"compiled: {count} parts of {type(_model(teacher)).__name__}"


def compile_layers(model: nn.Module, texts: bool, backend: str = "inductor") -> int:
    """Compile the forward of each region of `model`; how many there are. Of texts the length is left open."""
    found = list(regions(model))
    settings: Any = torch._dynamo.config
    settings.recompile_limit = max(settings.recompile_limit, 4 * len(found))  # layers of one class share their code
    for module in found:
        module.forward = torch.compile(module.forward, dynamic=True if texts else None, backend=backend)
    return len(found)


def regions(model: nn.Module) -> Iterator[nn.Module]:
    """The largest items of its lists of layers that nobody listens inside of; where there is no list, the largest
    quiet parts. Hooks on a region itself are outside: only its forward is compiled."""
    found = list(_listed(model, False))
    yield from found or _quiet(model)


def _listed(module: nn.Module, inside: bool) -> Iterator[nn.Module]:
    if inside and _worth(module):
        yield module
        return
    for child in module.children():
        yield from _listed(child, inside or isinstance(module, _LISTS))


def _quiet(module: nn.Module) -> Iterator[nn.Module]:
    if _worth(module):
        yield module
        return
    for child in module.children():
        yield from _quiet(child)


def _worth(module: nn.Module) -> bool:
    """More than one operation, and nobody listens inside."""
    parts = list(module.modules())
    return len(parts) > 1 and not isinstance(module, _LISTS) and not any(_heard_within(it, module) for it in parts)


def _heard_within(part: nn.Module, region: nn.Module) -> bool:
    if heard_inside_attention(part):
        return True
    hooks = [*part._forward_hooks.values(), *part._forward_pre_hooks.values()]
    return part is not region and any(map(_ours, hooks))


def _ours(hook: Any) -> bool:
    function = hook.func if isinstance(hook, partial) else hook
    return str(getattr(function, "__module__", "")).startswith(f"{_PACKAGE}.")


def _model(teacher: Any) -> nn.Module:
    model: nn.Module = teacher.model
    return model


def _compare(name: str, before: Heard, after: Heard, slack: float) -> None:
    for one, other in zip(_tensors(before), _tensors(after), strict=True):
        if one.shape != other.shape:
            raise StageError(
                f"teacher.compile: {name} was {tuple(one.shape)} and is {tuple(other.shape)} when compiled"
            )
        allowed = slack * max(float(one.float().abs().nan_to_num().max()), 1e-6)
        apart = float((one.float() - other.float()).abs().max())
        if not apart <= allowed:
            raise StageError(
                f"teacher.compile: the compiled teacher says something else at {name} ({apart:.2g} apart, "
                f"{allowed:.2g} is rounding). Set teacher.compile: false"
            )


def _tensors(values: Heard) -> list[Tensor]:
    match values:
        case Ragged():
            return [values.values, values.lengths]
        case QueryKey():
            return [values.query, values.key]
        case HeadLogits():
            return _tensors(values.hidden)
        case _:
            return [values]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
