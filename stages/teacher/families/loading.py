"""Loads a model of transformers whole, or not at all: a missing or unexpected weight is an error, not a warning."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...errors import StageError
from ..spec import TeacherSpec

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_pretrained(auto: str, spec: TeacherSpec, folder: Path, device: torch.device) -> torch.nn.Module:
    """The model in evaluation mode on the device, without gradients; `auto` is a class of transformers by its name.

    Raises StageError for a folder that this class cannot load, and for weights that do not fit.
    """
    import transformers

    return load_class(getattr(transformers, auto), spec, folder, device)


def load_class(kind: Any, spec: TeacherSpec, folder: Path, device: torch.device) -> torch.nn.Module:
    """The same by the class itself."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # it would draw over our own
    try:
        model, info = kind.from_pretrained(
            folder,
            dtype=DTYPES[spec.dtype],
            use_safetensors=True,
            output_loading_info=True,
            local_files_only=True,
            trust_remote_code=spec.trust_remote_code,  # said, because transformers would ask whoever sits there
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise StageError(f"teacher.model: {folder} cannot be loaded by {kind.__name__} ({_first(error)})") from error
    _check_loading(folder, info)
    return heard_only(model, device)


def heard_only(model: torch.nn.Module, device: torch.device) -> torch.nn.Module:
    """The model in evaluation mode on the device, without gradients."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model.eval().to(device)


def class_names(model: Any) -> tuple[str, ...]:
    """Class names of a classifier, in the order of its logits."""
    names: Mapping[int, str] = model.config.id2label
    return tuple(str(names[i]) for i in sorted(names))


def _check_loading(folder: Path, info: dict[str, Any]) -> None:
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        keys = sorted(str(key) for key in info.get(kind, ()))
        if keys:
            some = ", ".join(keys[:5]) + (", ..." if len(keys) > 5 else "")
            what = kind.replace("_", " ")
            raise StageError(f"teacher.model: the weights in {folder} do not fit its config.json: {what} {some}")


def _first(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
