"""Models of images and text: LLaVA, Idefics3, SmolVLM, Qwen2-VL, PaliGemma, and Magma through its own code.

Logits are as wide as the vocabulary, so they are kept of the text or the action tokens alone, and what is kept there is
what says these tokens: the logits of the token before each. `actions` are those of the 256 ids that mean bins.
"""

import inspect
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ....cache.codecs import Ragged
from ....cache.spec import SignalSpec
from ...capture.anatomy import anatomy
from ...capture.points import Point, parse_point
from ...capture.ragged import ragged
from ...capture.spans import SPANS, Span, block_spans, predicting, span_runs, span_values
from ...errors import StageError
from ..inputs.actions import action_ids, base_vocabulary
from ..inputs.vision_language import KINDS
from ..signals.signal_schema import Heard, heard_point
from ..spec import TeacherSpec
from .head_ear import Cut
from .hearing import Hearing
from .loading import load_pretrained
from .remote_code import load_remote
from .vision_language_ears import PROJECTOR, Tokens, VisionLanguageEars

_OWN = ("spans", "actions")  # points that are made here, and are no modules


class VisionLanguage:
    """A teacher of the AutoModelForImageTextToText family, or of its own code; an `Adapter`."""

    def __init__(
        self, spec: TeacherSpec, folder: Path, signals: Mapping[str, SignalSpec], device: torch.device
    ) -> None:
        self.device = device
        points = _points(signals)
        self._remote = spec.trust_remote_code
        load = load_remote if self._remote else _load
        self.model: Any = load(spec, folder, device)
        self._takes = inspect.signature(self.model.forward).parameters
        self._wanted, self._parts = points, anatomy(self.model)
        names = tuple(point.name for point in points)
        self._hearing = Hearing(self.model, signals, device, spec.autocast, given=names)
        self._actions = torch.zeros(0, dtype=torch.int64)
        if "actions" in names:
            vocabulary = base_vocabulary(folder, spec.trust_remote_code)
            self._actions = torch.from_numpy(action_ids(vocabulary)).to(device)
        with ExitStack() as stack:
            heard = [point for point in points if point.kind != "logits" and point.name not in _OWN]
            self._ears = VisionLanguageEars(self.model, self._parts, heard, stack)
            self._stack = stack.pop_all()

    @property
    def config(self) -> Any:
        return self.model.config

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Heard]:
        """`input_ids`, `attention_mask` and `token_kinds`, each (B, t), padded on the right, with the pixels and what
        else the processor made of B rows -> what was heard."""
        cuts: dict[str, Cut] = {}
        return self._hearing.run(len(inputs["input_ids"]), lambda: self._read(inputs, cuts), cuts)

    def facts(self) -> dict[str, Any]:
        return self._hearing.facts()

    def classes(self) -> tuple[str, ...]:
        return ()

    def constants(self) -> Mapping[str, Tensor]:
        return {}

    def close(self) -> None:
        self._stack.close()
        self._hearing.close()

    def _read(self, inputs: Mapping[str, Tensor], cuts: dict[str, Cut]) -> dict[str, Any]:
        """One pass, and every point that is asked for; `cuts` gets how the logits of a span are cut out of all."""
        kinds, mask = inputs[KINDS], inputs["attention_mask"]
        places = self._places(kinds)
        self._ears.forget()
        output = self.model(**self._arguments(inputs, places))
        tokens = self._ears.tokens(mask, kinds, same=places is not None)
        heard = self._ears.collect(tokens)
        for point in self._wanted:
            if point.kind == "logits" and (span := _logit_span(point)) is not None:
                cuts[point.name] = partial(self._of_span, span, tokens=tokens, places=places)
        return {point.name: self._value(point, heard, output, tokens, places) for point in self._wanted}

    def _arguments(self, inputs: Mapping[str, Tensor], places: Tensor | None) -> dict[str, Any]:
        given: dict[str, Any] = {name: x for name, x in inputs.items() if name != KINDS and name in self._takes}
        if "image_grid_thw" in given:  # patches of all images end to end, as the processor made them
            given["pixel_values"] = given["pixel_values"].flatten(0, 1)
        if "use_cache" in self._takes or "kwargs" in self._takes:
            given["use_cache"] = False
        if places is not None:
            given["logits_to_keep"] = places
        return given

    def _places(self, kinds: Tensor) -> Tensor | None:
        """Tokens of which any row's logits are asked; the head runs on these alone. None where it runs on all."""
        if self._remote or "logits_to_keep" not in self._takes:
            return None  # code of its own may count tokens otherwise
        next_kinds = predicting(kinds)
        needed = torch.zeros(kinds.shape[1], dtype=torch.bool, device=kinds.device)
        for span in {span for point in self._wanted if (span := _logit_span(point)) is not None}:
            needed = needed | (next_kinds == SPANS[span]).any(dim=0)
        return torch.nonzero(needed).squeeze(1) if bool(needed.any()) else torch.zeros_like(kinds[0, :1])

    def _value(self, point: Point, heard: dict[str, Any], output: Any, tokens: Tokens, places: Tensor | None) -> Any:
        kinds = tokens.kinds
        if point.name == "spans":
            return span_runs(kinds)
        if (span := _logit_span(point)) is not None:
            return self._logits(point, span, output.logits, tokens, places)
        if point.name == PROJECTOR:
            return heard[self._parts.projector]
        if not point.span:
            return heard[point.name]
        whole = heard[f"{point.kind}.{point.index}"].values
        if point.kind == "hidden":
            return span_values(whole, kinds, {0: point.span})  # type: ignore[dict-item]
        return span_values(whole, kinds, dict(zip((1, 2), block_spans(point.span), strict=True)))

    def _logits(self, point: Point, span: Span, logits: Tensor, tokens: Tokens, places: Tensor | None) -> Any:
        found = self._of_span(span, logits, tokens, places)
        if point.name != "actions":
            return found
        assert isinstance(found, Tensor)
        return found.index_select(-1, self._actions)

    def _of_span(self, span: Span, values: Tensor, tokens: Tokens, places: Tensor | None) -> Tensor | Ragged:
        """What the head makes, or is given, where it says the tokens of a span."""
        kinds = predicting(tokens.kinds)
        if places is None:
            return span_values(ragged(values, tokens.mask).values, kinds, {0: span})
        return span_values(values, kinds[:, places], {0: span})


def _points(signals: Mapping[str, SignalSpec]) -> list[Point]:
    """What signals name. Raises StageError for a point or a codec that would say something else than it seems."""
    found = {}
    for name, spec in signals.items():
        point = parse_point(heard_point(name, spec), paths=True)
        place = f"cache.signals.{name}"
        if point.name == "logits":
            raise StageError(
                f"{place}: logits of every token of a vision-language teacher would mostly be of its image: name "
                "logits.text, logits.action, or actions (the 256 bins)"
            )
        if point.kind in ("embedding", "embeds"):
            raise StageError(f"{place}: a vision-language teacher has no {point.name}; its points are hidden.N, ...")
        if point.part == "text":
            raise StageError(f"{place}: the language model's points have no part: {point.name.removeprefix('text.')}")
        if point.name == "spans" and spec.codec != "f32":
            raise StageError(f"{place}: spans are whole numbers, which `codec: f32` alone keeps whole")
        found[point.name] = point
    return list(found.values())


def _logit_span(point: Point) -> Span | None:
    """Whose logits a point is; None for a point of something else."""
    if point.name == "actions":
        return "action"
    return point.span if point.kind == "logits" else None  # type: ignore[return-value]


def _load(spec: TeacherSpec, folder: Path, device: torch.device) -> torch.nn.Module:
    return load_pretrained("AutoModelForImageTextToText", spec, folder, device)
