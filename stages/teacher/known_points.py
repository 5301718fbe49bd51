"""The points that a teacher should have by its configuration, before any weight is loaded."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import StageError
from .families.family import family_of, find_folder
from .families.module import build_module
from .families.student import student_points
from .families.vision_language_points import vision_language_points
from .spec import TeacherSpec


def known_points(spec: TeacherSpec) -> list[str]:
    """The names, as a glob may match them. Raises StageError for a teacher that cannot be had or read."""
    folder = find_folder(spec)
    family = family_of(spec, folder)
    config = None if family in ("module", "student") else _config(spec, folder)
    return [point for group in point_groups(spec, family, config) for point in group]


def point_groups(spec: TeacherSpec, family: str, config: Any) -> Iterator[list[str]]:
    """Groups of points that a teacher with this configuration has all of, or none; of a module of the user's own each
    of its modules, of a student each of its outputs."""
    if family == "student":
        yield from ([output] for output in student_points(spec))
        return
    yield from vision_language_points(config) if family == "vision-language" else _plain_groups(config)
    if family == "module":
        yield from ([path] for path, _ in build_module(spec).named_modules() if path)


def _config(spec: TeacherSpec, folder: Path) -> Any:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=spec.trust_remote_code)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise StageError(f"teacher.model: {folder}/config.json cannot be read ({error})") from error


def _plain_groups(config: Any) -> Iterator[list[str]]:
    yield from (["logits"], ["embedding"], ["image_embeds"], ["text_embeds"])
    towers = {f"{name}.": getattr(config, f"{name}_config", None) for name in ("vision", "text")}
    for part, settings in {"": config, **towers}.items():
        layers = _layers(settings)
        yield [f"{part}hidden.{index}" for index in range(layers + 1 if layers else 0)]
        attentions = attention_layers(settings)
        for kind in ("attention", "qkv"):
            yield [f"{part}{kind}.{index}" for index in range(attentions)]


def attention_layers(config: Any) -> int:
    """How many layers have an attention: of a model in stages (Swin) the blocks of all of them."""
    if getattr(config, "num_heads", None) is not None and isinstance(getattr(config, "depths", None), list | tuple):
        return int(sum(config.depths))
    return int(getattr(config, "num_hidden_layers", None) or 0) if not hasattr(config, "depths") else 0


def _layers(config: Any) -> int:
    """How many layers, or stages, a configuration says."""
    for name in ("depths", "num_hidden_layers", "hidden_sizes"):
        found = getattr(config, name, None)
        if found is not None:
            return len(found) if isinstance(found, list | tuple) else int(found)
    return 0
