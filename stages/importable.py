"""Modules that are the user's own: `package.module:callable`, called with the arguments of the YAML."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from .capture.points import nearest
from .errors import StageError


def import_callable(use: str) -> Callable[..., Any]:
    """The callable that `package.module:name` names. Raises StageError when it cannot be imported or called."""
    module_name, _, name = use.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise StageError(
            f"use: {use!r} cannot be imported ({error}); is its package installed, or on PYTHONPATH?"
        ) from error
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise StageError(f"use: {module_name} has no callable {name!r}{nearest(name, vars(module))}")
    return found  # type: ignore[no-any-return]


def bind_arguments(
    function: Callable[..., Any], use: str, args: Mapping[str, Any], offered: Mapping[str, Any]
) -> dict[str, Any]:
    """`args`, and those of `offered` that the callable has a parameter for. Raises StageError unless they fit it."""
    parameters = inspect.signature(function).parameters
    named = [name for name, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for unknown in sorted(set(args) - set(named)):
            raise StageError(
                f"args.{unknown}: {use} has no such parameter{nearest(unknown, named)}; it has {', '.join(named)}"
            )
    bound = {name: value for name, value in offered.items() if name in named} | dict(args)
    missing = [name for name in named if parameters[name].default is inspect.Parameter.empty and name not in bound]
    if missing:
        raise StageError(f"args: {use} also needs {', '.join(missing)}")
    return bound


def call_builder(
    function: Callable[..., Any], use: str, args: Mapping[str, Any], offered: Mapping[str, Any]
) -> nn.Module:
    """The module that the callable returns. What it raises is told as a StageError with its own words."""
    bound = bind_arguments(function, use, args, offered)
    try:
        module = function(**bound)
    except StageError:
        raise
    except Exception as error:  # the user's code may raise anything
        raise StageError(f"use: {use} failed with {type(error).__name__}: {error}") from error
    if not isinstance(module, nn.Module):
        raise StageError(f"use: {use} returned {type(module).__name__}; a torch.nn.Module is needed")
    return module
