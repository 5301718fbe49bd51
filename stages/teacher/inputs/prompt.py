"""How a sample's text stands in what a vision-language teacher reads: a template of ours, or its own chat template."""

from dataclasses import dataclass
from typing import Any

from ....data import DataError
from ...errors import StageError
from ..spec import TeacherSpec

_TEXT = "{text}"


@dataclass(frozen=True, slots=True)
class Prompt:
    """`template` with the image's token, and {text} where the sample's text goes. `reserved` are words that a text may
    not hold, because they would be read as another image."""

    template: str
    reserved: tuple[str, ...]

    def filled(self, text: str, place: str) -> str:
        """Raises DataError, naming the sample (`place`), for a text that would be read as an image."""
        for word in self.reserved:
            if word in text:
                raise DataError(f"{place}: its text holds {word!r}, which the teacher would read as another image")
        return self.template.replace(_TEXT, text)


def load_prompt(spec: TeacherSpec, processor: Any, image_id: int, text: bool) -> Prompt:
    """teacher.prompt, or the processor's chat template with an image and a text; `text` says whether there is one.

    Raises StageError when there is neither, and when a text is given that the prompt has no place for, or the reverse.
    """
    token = getattr(processor, "image_token", None) or processor.tokenizer.convert_ids_to_tokens(image_id)
    reserved = (str(token),)
    template = spec.prompt if spec.prompt is not None else _chat(processor, text)
    if (_TEXT in template) != text:
        told = "has no {text}, and teacher.inputs gives a text" if text else "has {text}, and teacher.inputs gives none"
        raise StageError(f"teacher.prompt: {template!r} {told}")
    if reserved[0] not in template:
        raise StageError(f"teacher.prompt: {template!r} has no {reserved[0]!r}, where the image goes")
    return Prompt(template, reserved)


def _chat(processor: Any, text: bool) -> str:
    if not getattr(processor, "chat_template", None):
        raise StageError(
            "teacher.prompt: this teacher's processor has no chat template; say how image and text stand, such as "
            f"'{getattr(processor, 'image_token', '<image>')}\\n{{text}}'"
        )
    content = [{"type": "image"}, *([{"type": "text", "text": _TEXT}] if text else [])]
    found: str = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    return found
