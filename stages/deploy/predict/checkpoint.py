"""A finished student in a trial's folder as a model to ask: torch, float32, on the CPU.

A student of two towers is asked about one of its inputs alone: the other is blank, and outputs that hang on the blank
are left out, which two different blanks show.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...errors import StageError
from ...student.inputs.columns import companion
from ...student.inputs.shape import InputShape, blank_inputs
from ...student.inputs.spec import InputSource
from ...tokenizer import NO_LIMIT, files_digest, load_tokenizer, tokenizer_files
from ..evaluation.candidate import Candidate, load_model, read_candidate
from ..run_cache import run_classes
from .reading import ArrayReading, ImageReading, Reading, TextReading


class Checkpoint:
    """The `Model` of a finished student."""

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        """Raises StageError when it cannot be loaded, or when its tokenizer is not where it was or another one."""
        if threads is not None:
            torch.set_num_threads(threads)
        self._candidate = read_candidate(folder)
        saved = self._candidate.saved
        self._shapes = saved.shape.completed(saved.student).inputs
        self.place = str(folder)
        self.readings = {
            name: _reading(name, source, self._candidate, self._shapes) for name, source in saved.student.takes.items()
        }
        self._spoken: dict[frozenset[str], tuple[str, ...]] = {}

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The names in the cache of the run that it lies in, () without one."""
        return run_classes(self._candidate.folder, self._candidate.saved.shape.classes)

    @cached_property
    def module(self) -> torch.nn.Module:
        """The student itself."""
        return load_model(self._candidate, torch.device("cpu"), self._candidate.saved.outputs)

    def outputs(self, given: frozenset[str]) -> tuple[str, ...]:
        if given not in self._spoken:
            self._spoken[given] = self._said_of(given)
        return self._spoken[given]

    def run(self, inputs: Mapping[str, np.ndarray], given: frozenset[str]) -> dict[str, np.ndarray]:
        rows = len(next(iter(inputs.values())))
        tensors = {name: torch.from_numpy(values) for name, values in inputs.items()}
        said = self._forward({**blank_inputs(self._lacking(given), rows), **tensors})
        return {name: said[name].float().numpy() for name in self.outputs(given)}

    def _forward(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        with torch.inference_mode():
            return self.module(inputs)  # type: ignore[no-any-return]

    def _lacking(self, given: frozenset[str]) -> dict[str, InputShape]:
        own = {one for name in given for one in (name, companion(name, self._source(name))) if one}
        return {name: shape for name, shape in self._shapes.items() if name not in own}

    def _source(self, name: str) -> InputSource:
        return self._candidate.saved.student.takes[name]

    def _said_of(self, given: frozenset[str]) -> tuple[str, ...]:
        lacking = self._lacking(given)
        blank = blank_inputs({name: shape for name, shape in self._shapes.items() if name not in lacking}, 1)
        one, two = (self._forward({**_filled(lacking, value), **blank}) for value in (0, 1))
        return tuple(name for name in one if torch.allclose(one[name], two[name], rtol=1e-3, atol=1e-5))


def _filled(shapes: Mapping[str, InputShape], value: int) -> dict[str, Tensor]:
    found = blank_inputs(shapes, 1)
    return {
        name: found[name] + value if shapes[name].kind in ("image", "tokens", "array") else found[name]
        for name in found
    }


def _reading(name: str, source: InputSource, candidate: Candidate, shapes: Mapping[str, InputShape]) -> Reading:
    shape, saved = shapes[name], candidate.saved.shape
    if source.image is not None:
        spec = source.image
        return ImageReading(saved.size, saved.channels, spec.size or saved.size, spec.mean, spec.std)
    beside = companion(name, source)
    if source.text is not None:
        return _text(name, source, shape, beside, candidate)
    return ArrayReading(shape.shape, shape.dtype, shape.longest, beside)


def _text(name: str, source: InputSource, shape: InputShape, mask: str | None, candidate: Candidate) -> TextReading:
    assert source.tokenizer is not None
    folder, place = Path(source.tokenizer), f"{candidate.folder}: inputs.{name}.tokenizer"
    tokenizer = load_tokenizer(folder, place)
    if shape.tokenizer is not None and files_digest(tokenizer_files(folder)) != shape.tokenizer:
        raise StageError(
            f"{place}: the tokenizer in {folder} is not the one that this student was trained with; restore it, or "
            "export the student, which keeps its own"
        )
    tokenizer.model_max_length = NO_LIMIT
    return TextReading(
        lambda text: tokenizer(text)["input_ids"], shape.longest or NO_LIMIT, source.truncate, mask, shape.padding or 0
    )
