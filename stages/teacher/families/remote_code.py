"""Teachers whose code lies beside their weights. It is run only where the configuration says `trust_remote_code`.

The class is the one that config.json names, found by that name: an Auto class may have another one registered for the
same kind of configuration, and would load it without a word.
"""

import inspect
from pathlib import Path
from typing import Any

import torch

from ...errors import StageError
from ..spec import TeacherSpec
from ..weights import model_config
from .loading import load_class


def load_remote(spec: TeacherSpec, folder: Path, device: torch.device) -> torch.nn.Module:
    """The model in evaluation mode on the device. Raises StageError when config.json names no class of its own, and for
    what cannot be loaded."""
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    reference = _reference(folder)
    try:
        kind: Any = get_class_from_dynamic_module(reference, str(folder), local_files_only=True)
    except Exception as error:  # the code is another's, and may fail in any way while it is imported
        raise StageError(f"teacher.model: {reference} in {folder} cannot be imported ({error})") from error
    _bring_up_to_date(kind)
    return load_class(kind, spec, folder, device)


def _reference(folder: Path) -> str:
    """`module.Class`: the class that `architectures` names, in the module that auto_map has models in."""
    config = model_config(folder)
    names = [str(name) for name in config.get("architectures") or ()]
    known: Any = config.get("auto_map") or {}
    found = [str(value) for key, value in known.items() if str(key).startswith("AutoModel")]
    if len(names) != 1 or not found:
        raise StageError(
            f"teacher.trust_remote_code: {folder}/config.json names {', '.join(names) or 'no architecture'}, and has "
            "no code for it (auto_map); leave trust_remote_code out for a model of transformers itself"
        )
    if "--" in found[0]:
        raise StageError(
            f"teacher.trust_remote_code: {folder}/config.json takes its code from another repository ({found[0]}), "
            "which no revision pins: copy the code beside the weights, and name it in auto_map without the repository"
        )
    return f"{found[0].rpartition('.')[0]}.{names[0]}"


def _bring_up_to_date(kind: Any) -> None:
    """Code that was written for transformers 4, as Magma's, under transformers 5: it asks a part for its attention
    before there is one, and ties weights without the arguments that are given now."""
    if isinstance(inspect.getattr_static(kind, "_supports_sdpa", None), property):
        kind._supports_sdpa = True
    tie = kind.tie_weights
    if len(inspect.signature(tie).parameters) == 1:
        kind.tie_weights = lambda self, *_, **__: tie(self)
