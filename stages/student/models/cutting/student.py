"""A student that begins as its teacher, or as another saved model: what is left of it, with its weights.

What the student has and the model has not (a head for other classes) begins at random, and is named in `fresh`.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ....capture.points import nearest
from ....errors import StageError
from ...inputs.shape import InputShape
from ..config_class import arguments, refusals
from ..transformers_student import TransformersStudent
from .copying import copy_weights
from .origin import Origin, read_config, saved_class
from .parts import model_parts
from .plan import Cut, check_inputs, cut_config, cut_settings

CHOICES = ("magnitude", "first")


def build_cut_student(
    inputs: Mapping[str, InputShape],
    classes: int,
    outputs: Collection[str],
    task: str | None,
    init: str,
    model: str | None = None,
    choose: str = "magnitude",
    config: Mapping[str, Any] | None = None,
    projection: int | None = None,
    vision: Mapping[str, Any] | None = None,
    text: Mapping[str, Any] | None = None,
    layers: Any = None,
    map: str = "uniform",  # noqa: A002 - the word of the YAML
    heads: int | None = None,
    width: int | None = None,
    mlp: int | None = None,
) -> TransformersStudent:
    """What is left of the model in folder `model`. `config` changes settings of its config that no weight depends on
    (dropout). With `init` "random" the weights are not copied.

    Raises StageError for cuts that the model has not got, and for weights that are not there.
    """
    if model is None:
        raise StageError("args.model: no teacher is known to cut from; name a folder as save_pretrained writes it")
    if choose not in CHOICES:
        raise StageError(f"args.choose: {choose!r} is neither magnitude nor first{nearest(choose, CHOICES)}")
    origin = Origin(Path(model), task)
    check_inputs(origin.config, inputs)
    whole = {"layers": layers, "map": map, "heads": heads, "width": width, "mlp": mlp}
    words = {name: value for name, value in whole.items() if value is not None and (name, value) != ("map", "uniform")}
    parts = model_parts(origin.shape) if words or vision or text or projection else {}
    towers = {"vision": vision, "text": text, "projection": projection}
    cut = cut_settings(origin, parts, {**words, **towers}, choose, classes)  # type: ignore[arg-type]
    built = _made(origin, _with(cut_config(origin, parts, cut), config or {}))
    fresh = copy_weights(built, origin, parts, cut) if init == "from_teacher" else ()
    student = TransformersStudent(built, outputs, inputs)
    student.fresh = fresh
    return student


def rebuild_student(folder: Path, outputs: Collection[str], inputs: Mapping[str, InputShape]) -> TransformersStudent:
    """A student of the form that `save_pretrained` left in `folder`, with random weights: what it was cut from is not
    needed any more. Raises StageError for a folder that says none."""
    config = read_config(folder)
    return TransformersStudent(_made_of(saved_class(folder, config), config), outputs, inputs)


def _made(origin: Origin, config: Any) -> Any:
    with refusals(type(config).__name__):
        return _made_of(origin.model_class, config)


def _made_of(model: Any, config: Any) -> Any:
    """In float32, whatever its origin was kept in: a student trains in that, and `precision` says the rest."""
    import torch

    return model._from_config(config, dtype=torch.float32)


def _with(config: Any, changes: Mapping[str, Any]) -> Any:
    known = arguments(type(config))
    for field, value in changes.items():
        if field not in known:
            raise StageError(f"args.config.{field}: {type(config).__name__} has none{nearest(field, known)}")
        setattr(config, field, value)
    return config


__all__ = ["Cut", "build_cut_student", "rebuild_student"]
