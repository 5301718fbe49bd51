"""What terms may know of a student before it runs: its outputs, and which of its inputs are masks of tokens."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...capture.points import nearest
from ...errors import StageError
from ..inputs.shape import InputShape
from ..objective.spec import TermSpec
from .facing import Shape


@dataclass(frozen=True, slots=True)
class StudentSide:
    """`outputs`: shape of one row by name, texts as long as they may be; `inputs` as the student is given them."""

    outputs: Mapping[str, Shape]
    inputs: Mapping[str, InputShape] = field(default_factory=dict)

    def shape(self, name: str, place: str) -> Shape:
        """The shape of an output. Raises StageError for one that there is not."""
        if name not in self.outputs:
            close = nearest(name, self.outputs)
            raise StageError(f"{place}: the student has no output {name!r}{close}; it has {', '.join(self.outputs)}")
        return self.outputs[name]

    @property
    def masks(self) -> dict[str, int | None]:
        """The inputs that say which tokens are real, and the most tokens of each."""
        return {name: shape.longest for name, shape in self.inputs.items() if shape.kind == "mask"}

    def mask(self, spec: TermSpec, place: str, output: str, tokens: int) -> str | None:
        """What says which of an output's tokens are real: the one that the term names, or the only one there is.

        Raises StageError where there are several ways to mean it: images have tokens too, and none is padding.
        """
        if spec.mask == "none":
            return None
        if spec.mask is not None:
            return self._named(spec.mask, place, tokens)
        fitting = [name for name, longest in self.masks.items() if longest == tokens]
        if not fitting or output.startswith("vision."):
            return None
        images = any(shape.kind == "image" for shape in self.inputs.values())
        if len(fitting) > 1 or (images and not output.startswith("text.")):
            raise StageError(
                f"{place}: output {output!r} has as many tokens as {' and '.join(fitting)}; say `mask: {fitting[0]}` "
                "where these are its tokens, or `mask: none`"
            )
        return fitting[0]

    def _named(self, name: str, place: str, tokens: int) -> str:
        known = {**{mask: (longest,) for mask, longest in self.masks.items()}, **self.outputs}
        if name not in known:
            raise StageError(f"{place}: the student has no input or output {name!r} to be a mask; it has {list(known)}")
        if known[name] not in ((tokens,), (None,)):
            raise StageError(f"{place}: mask {name!r} is {known[name]} a row, and there are {tokens} tokens")
        return name
