"""Which family a teacher is of, and what each family is made of. To add one: an adapter, its inputs, a line here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ....cache.spec import SignalSpec
from ....data import Source, ViewPolicy
from ...errors import StageError
from ..inputs.arrays import array_inputs
from ..inputs.images import image_inputs
from ..inputs.prepare import Prepare
from ..inputs.texts import image_text_inputs, text_inputs
from ..inputs.vision_language import vision_language_inputs
from ..spec import TeacherSpec
from ..weights import model_config, teacher_fingerprint, teacher_folder
from .adapter import Adapter
from .causal_lm import CausalLM
from .image_classifier import ImageClassifier
from .module import Module, module_fingerprint, module_folder
from .student import open_student, student_fingerprint, student_folder, student_inputs
from .text import TextClassifier, TextEncoder
from .towers import Towers
from .vision_language import VisionLanguage


@dataclass(frozen=True, slots=True)
class Family:
    """How a teacher of this kind is loaded, and how its inputs are prepared; `marks` are parts of the class names that
    config.json says, in `architectures`."""

    load: Callable[[TeacherSpec, Path, Mapping[str, SignalSpec], torch.device], Adapter]
    inputs: Callable[[TeacherSpec, Path, Source, ViewPolicy], Prepare]
    marks: tuple[str, ...]


# of a class called ...Model one cannot tell what it reads
TEXT_ENCODERS = (
    "BertModel",
    "AlbertModel",
    "RobertaModel",
    "DebertaModel",
    "DebertaV2Model",
    "ElectraModel",
    "MPNetModel",
)

# ForConditionalGeneration says nothing: T5 is called so too
VISION_LANGUAGE = tuple(
    f"{name}ForConditionalGeneration" for name in ("Llava", "Idefics3", "SmolVLM", "Qwen2VL", "PaliGemma")
)

FAMILIES: dict[str, Family] = {  # the first whose mark fits
    "image-classifier": Family(ImageClassifier, image_inputs, ("ForImageClassification",)),
    "clip": Family(Towers, image_text_inputs, ("CLIPModel", "SiglipModel", "Siglip2Model")),
    "text-classifier": Family(TextClassifier, text_inputs, ("ForSequenceClassification",)),
    "causal-lm": Family(CausalLM, text_inputs, ("ForCausalLM", "LMHeadModel")),
    "text-encoder": Family(TextEncoder, text_inputs, TEXT_ENCODERS),
    "vision-language": Family(VisionLanguage, vision_language_inputs, VISION_LANGUAGE),
    "module": Family(Module, array_inputs, ()),
    "student": Family(open_student, student_inputs, ()),
}
_READS_TEXT = ("clip", "text-classifier", "causal-lm", "text-encoder", "vision-language")
_TAKERS = {  # settings that not every family takes
    "prompt": ("vision-language",),
    "trust_remote_code": ("vision-language",),
    "truncate": _READS_TEXT,
    "max_tokens": (*_READS_TEXT, "module"),
}


def family_of(spec: TeacherSpec, folder: Path) -> str:
    """teacher.family, or what config.json says. Raises StageError when it says nothing that is known, and for settings
    that the family does not take."""
    found = _family(spec, folder)
    for field, takers in _TAKERS.items():
        if getattr(spec, field) and found not in takers:
            raise StageError(
                f"teacher.{field}: this is for teachers of family {' or '.join(takers)}, and this one is of {found}"
            )
    return found


def find_folder(spec: TeacherSpec) -> Path:
    """Where the teacher's files lie on this machine. Raises StageError when it cannot be had."""
    if spec.student is not None:
        return student_folder(spec)
    return module_folder(spec) if spec.use is not None else teacher_folder(spec)


def identify(spec: TeacherSpec, folder: Path) -> dict[str, Any]:
    """What decides the teacher's numbers, as JSON. Loads nothing, except for a module, which its factory makes."""
    family = family_of(spec, folder)
    if family == "student":
        return student_fingerprint(spec, folder)
    return module_fingerprint(spec) if family == "module" else teacher_fingerprint(spec, folder, family)


def open_teacher(spec: TeacherSpec, folder: Path, signals: Mapping[str, SignalSpec], device: torch.device) -> Adapter:
    """Load a teacher and listen to what `signals` name. Raises StageError for what it cannot load, or does not have."""
    return FAMILIES[family_of(spec, folder)].load(spec, folder, signals, device)


def teacher_inputs(spec: TeacherSpec, folder: Path, source: Source, policy: ViewPolicy) -> Prepare:
    """What makes the teacher's inputs of a source's samples. Raises StageError when they do not meet."""
    return FAMILIES[family_of(spec, folder)].inputs(spec, folder, source, policy)


def _family(spec: TeacherSpec, folder: Path) -> str:
    if spec.use is not None or spec.student is not None:
        return "module" if spec.use is not None else "student"
    if spec.family != "auto":
        return spec.family
    if spec.trust_remote_code:
        return "vision-language"
    classes = [str(name) for name in model_config(folder).get("architectures") or ()]
    for name, family in FAMILIES.items():
        if any(mark in known for known in classes for mark in family.marks):
            return name
    if not classes and not (folder / "tokenizer_config.json").is_file():
        return "image-classifier"
    raise StageError(
        f"teacher.family: {folder}/config.json names {', '.join(classes) or 'no architecture'}, which is of no family "
        f"that this version knows; if the model can be loaded as one, say which: {', '.join(FAMILIES)}"
    )
