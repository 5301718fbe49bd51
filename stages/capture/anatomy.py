"""The parts of a vision-language model: tower, projector, language model, by the names that transformers gives them."""

from dataclasses import dataclass

from torch import nn

from ..errors import StageError

_LANGUAGE = ("language_model.model", "language_model", "text_model.model", "text_model")  # the head's wrapper last
_VISION = ("vision_tower", "vision_model", "visual")
_PROJECTOR = ("multi_modal_projector", "connector", "visual.merger", "mm_projector")


@dataclass(frozen=True, slots=True)
class Anatomy:
    """Paths in the model: of the language model, the vision tower, and what carries its patches over."""

    language: str
    vision: str
    projector: str


def anatomy(model: nn.Module) -> Anatomy:
    """Raises StageError, naming the model's parts, for one that has not exactly one of each."""
    return Anatomy(*(_path(model, names) for names in (_LANGUAGE, _VISION, _PROJECTOR)))


def _path(model: nn.Module, names: tuple[str, ...]) -> str:
    known = dict(model.named_modules())
    for path in (prefix + name for prefix in ("", "model.") for name in names):
        if path in known:
            return path
    parts = ", ".join(name for name, _ in model.named_children())
    raise StageError(
        f"{type(model).__name__} has no part called {' or '.join(names)} (its parts: {parts}), so it is no "
        "vision-language model of a form that is known"
    )
