"""How one input of a model is made of what a user has: a picture, a text, an array of numbers. numpy and Pillow only.

Pictures go the way that they went in training: the canonical plain view (`data/views/resize.py`), then resized to what
the model sees, then normalised. It refuses what the model was not made for, and says what to do.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from PIL import Image

from ....data.views.resize import plain
from ...errors import StageError
from .pictures import read_pixels

Kind = Literal["image", "text", "array"]
Row = Mapping[str, np.ndarray]  # the tensors of one row, without the batch's axis


class Reading(Protocol):
    """How an input is made. `kind` is what it is made of."""

    @property
    def kind(self) -> Kind: ...

    def read(self, name: str, item: object) -> Row:
        """The tensors that the model gets as input `name` of one item, its mask or length among them. Raises
        StageError or DataError, naming the item, for what it cannot be."""
        ...


@dataclass(frozen=True, slots=True)
class ImageReading:
    """The plain view of `view` pixels a side in `channels` channels, seen at `size` pixels: (x / 255 - mean) / std."""

    view: int
    channels: int
    size: int
    mean: Sequence[float] = (0.5,)
    std: Sequence[float] = (0.5,)
    kind: Kind = "image"

    def read(self, name: str, item: object) -> Row:
        return {name: self.prepare(read_pixels(item, self.channels))}

    def prepare(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (height, width, channels) as float32 (channels, size, size)."""
        seen = _resized(plain(pixels, self.view), self.size)
        mean, std = (np.asarray(values, np.float32).reshape(-1, 1, 1) for values in (self.mean, self.std))
        prepared: np.ndarray = (seen / np.float32(255) - mean) / std
        return np.ascontiguousarray(prepared, np.float32)


def _resized(view: np.ndarray, size: int) -> np.ndarray:
    """uint8 (S, S, C) as float32 (C, size, size): bilinear with antialias and unrounded, as torch's interpolate is."""
    planes = np.ascontiguousarray(view.transpose(2, 0, 1), np.float32)
    if view.shape[0] == size:
        return planes
    side = (size, size)
    return np.stack([np.asarray(Image.fromarray(one).resize(side, Image.Resampling.BILINEAR)) for one in planes])


@dataclass(frozen=True, slots=True)
class TextReading:
    """A text as token ids; `encode` gives the ids of one text. `mask` is the name of the input that comes with it;
    a model that reads texts of one length has them filled up with `padding` to `pad_to`."""

    encode: Callable[[str], Sequence[int]]
    longest: int
    truncate: bool = False
    mask: str | None = "attention_mask"
    padding: int = 0
    pad_to: int | None = None
    kind: Kind = "text"

    def read(self, name: str, item: object) -> Row:
        if not isinstance(item, str):
            raise StageError(f"{name} is made of a text, and was given {type(item).__name__}: give a str")
        ids = np.asarray(self.encode(item), np.int64)
        if len(ids) == 0:
            raise StageError(f"the text {_shortened(item)} has no token: give a text that says something")
        if len(ids) > self.longest and not self.truncate:
            raise StageError(
                f"the text {_shortened(item)} has {len(ids)} tokens, and {self.longest} are the most that this model "
                "reads: shorten it"
            )
        ids = ids[: self.longest]
        padded = np.full(max(len(ids), self.pad_to or 0), self.padding, np.int64)
        padded[: len(ids)] = ids
        return {name: padded} if self.mask is None else {name: padded, self.mask: _ones(len(ids), len(padded))}


def _ones(real: int, length: int) -> np.ndarray:
    return (np.arange(length) < real).astype(np.int64)


@dataclass(frozen=True, slots=True)
class ArrayReading:
    """An array of numbers, or a .npy file of one, of `shape`: an axis of None may differ, up to `longest`. `lengths` is
    the name of the input that says how long it is; a model of one length has zeros behind, up to `pad_to`."""

    shape: tuple[int | None, ...]
    dtype: str = "float32"
    longest: int | None = None
    lengths: str | None = None
    pad_to: int | None = None
    kind: Kind = "array"

    def read(self, name: str, item: object) -> Row:
        array = _numbers(name, item)
        fits = array.ndim == len(self.shape) and all(
            want in (None, have) for want, have in zip(self.shape, array.shape, strict=True)
        )
        if not fits or (self.longest is not None and not 0 < len(array) <= self.longest):
            want = ", ".join(f"1 to {self.longest}" if side is None else str(side) for side in self.shape)
            raise StageError(f"{name} is an array of shape ({want}), and was given {array.shape}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise StageError(f"{name} was given an array with values that are not finite: correct or leave out")
        if self.lengths is None:
            return {name: np.ascontiguousarray(array, self.dtype)}
        padded = np.zeros((max(len(array), self.pad_to or 0), *array.shape[1:]), self.dtype)
        padded[: len(array)] = array
        return {name: padded, self.lengths: np.asarray(len(array), np.int64)}


def _numbers(name: str, item: object) -> np.ndarray:
    if isinstance(item, str | Path):
        try:
            item = np.load(item, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise StageError(f"{item} is no .npy file that can be read ({error})") from error
    if not isinstance(item, np.ndarray) or item.dtype.kind not in "biuf":
        raise StageError(f"{name} is made of an array of numbers, and was given {type(item).__name__}")
    return item


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
