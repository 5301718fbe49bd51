"""What each input of a student is made of, as it stands in the YAML."""

from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ConfigDict, Field, model_validator

_STRICT = ConfigDict(extra="forbid", frozen=True)


class InputSpec(BaseModel):
    """How a student sees the canonical view: resized (bilinear, antialiased) to `size`, then (x / 255 - mean) / std."""

    model_config = _STRICT

    size: int | None = Field(None, gt=0, description="side in pixels; the view's own size when left out")
    mean: tuple[float, ...] = (0.5,)
    std: tuple[float, ...] = (0.5,)


class InputSource(BaseModel):
    """What one input is made of: the image, a text field, or a field of numbers; exactly one of them.

    Equal sources are made once for all students.
    """

    model_config = _STRICT

    image: InputSpec | None = Field(None, description="the canonical view, and how it is seen")
    text: str | None = Field(None, description="a text field of the source, or a JSON field that lists texts")
    array: str | None = Field(
        None, description="an array or JSON field of numbers; field.name is an array of a .npz, or of a JSON object"
    )
    tokenizer: str | None = Field(None, description="text: the folder of a tokenizer of transformers")
    max_tokens: int | None = Field(
        None, gt=0, description="text: the most tokens. array: its first axis differs in length, and this is the most"
    )
    truncate: bool = Field(False, description="cut what is longer than max_tokens; else it is an error")

    @model_validator(mode="after")
    def _one_kind(self) -> "InputSource":
        given = [name for name in ("image", "text", "array") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"an input is made of image, text or array, exactly one, not {' and '.join(given) or 'none'}"
            )
        if (self.tokenizer is None) == (self.text is not None):
            raise ValueError("a text needs a tokenizer, the folder of one; an image or an array takes none")
        if self.image is not None and (self.max_tokens is not None or self.truncate):
            raise ValueError("max_tokens and truncate are for text and array")
        if self.array is not None and self.truncate and self.max_tokens is None:
            raise ValueError("truncate cuts at max_tokens: set it as well")
        return self

    @property
    def field(self) -> str:
        """The source's field: image, the text's, or the array's without the name behind its dot."""
        return "image" if self.image is not None else (self.text or (self.array or "").partition(".")[0])


def asked_sources(students: Iterable[tuple[str, Mapping[str, InputSource]]]) -> dict[InputSource, str]:
    """{what an input is made of: where it is asked for first} of students, given as (name, takes)."""
    found: dict[InputSource, str] = {}
    for student, takes in students:
        for name, source in takes.items():
            found.setdefault(source, f"students.{student}.inputs.{name}")
    return found
