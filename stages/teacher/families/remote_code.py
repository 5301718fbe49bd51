"""Teachers whose code lies beside their weights. It is run only where the configuration says `trust_remote_code`.

The class is the one that config.json names, found by that name: an Auto class may have another one registered for the
same kind of configuration, and would load it without a word.
"""

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
    return load_class(kind, spec, folder, device)


def _reference(folder: Path) -> str:
    """`module.Class` of the class that `architectures` names."""
    config = model_config(folder)
    names = [str(name) for name in config.get("architectures") or ()]
    known: Any = config.get("auto_map") or {}
    found = [str(reference) for reference in known.values() if str(reference).rpartition(".")[2] in names]
    if len(names) != 1 or not found:
        raise StageError(
            f"teacher.trust_remote_code: {folder}/config.json names {', '.join(names) or 'no architecture'}, and its "
            "auto_map has no code of that name; leave trust_remote_code out for a model of transformers itself"
        )
    if any("--" in reference for reference in found):
        raise StageError(
            f"teacher.trust_remote_code: {folder}/config.json takes its code from another repository ({found[0]}), "
            "which no revision pins: copy the code beside the weights"
        )
    return found[0]
