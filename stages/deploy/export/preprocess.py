"""From images, texts and arrays to the tensors of an exported student, as the `preprocessing.json` beside it says.

Numpy and Pillow are enough, and for texts `tokenizers`. Every export holds a copy of this file, so it imports nothing
of its project. It refuses what is no image, texts and sequences beyond the model's length, and arrays of another shape.
"""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

_PIXELS = 89_000_000  # just under the size at which Pillow begins to warn of a decompression bomb


class BadInput(ValueError):
    """What cannot be given to the model; the message says which item, why, and what to do."""


class Preprocessing:
    """The inputs of one exported student. `settings` is what preprocessing.json says of each, by name."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.settings = json.loads((self.folder / "preprocessing.json").read_text("utf-8"))["inputs"]
        self._tokenizers: dict[str, Any] = {}

    def inputs(self, given: Mapping[str, Sequence[Any]]) -> dict[str, np.ndarray]:
        """{tensor: (B, ...)} of B items a name: images (a path, bytes, a Pillow image or uint8 (H, W[, C])), texts,
        arrays (or paths of .npy files). Masks and lengths come with their texts and sequences. Raises BadInput."""
        found: dict[str, np.ndarray] = {}
        for name, items in given.items():
            if name not in self.settings:
                raise BadInput(f"the model takes no {name!r}; its inputs are {', '.join(self.settings)}")
            one = self.settings[name]
            make = {"image": self._images, "text": self._texts, "array": self._arrays}[one["kind"]]
            found |= make(name, one, items)
        return found

    def _images(self, name: str, one: Mapping[str, Any], items: Sequence[Any]) -> dict[str, np.ndarray]:
        views = np.empty((len(items), one["channels"], one["size"], one["size"]), np.float32)
        for number, item in enumerate(items):
            views[number] = _image(item, one, _called(item, name, number))
        shape = (1, -1, 1, 1)
        mean, std = (np.asarray(one[key], np.float32).reshape(shape) for key in ("mean", "std"))
        return {name: (views / np.float32(255) - mean) / std}

    def _texts(self, name: str, one: Mapping[str, Any], items: Sequence[str]) -> dict[str, np.ndarray]:
        rows = [encoded.ids for encoded in self._tokenizer(one).encode_batch(list(items))]
        for number, row in enumerate(rows):
            if not 0 < len(row) <= one["max_tokens"]:
                raise BadInput(
                    f"{name}[{number}] has {len(row)} tokens, and the model reads 1 to {one['max_tokens']}: shorten it"
                )
        lengths = np.array([len(row) for row in rows], np.int64)
        width = one["pad_to"] or int(lengths.max(initial=1))
        ids = np.full((len(rows), width), one["padding"], np.int64)
        for row, tokens in enumerate(rows):
            ids[row, : len(tokens)] = tokens
        mask = (np.arange(width) < lengths[:, None]).astype(np.int64)
        return {name: ids} if one["mask"] is None else {name: ids, one["mask"]: mask}

    def _tokenizer(self, one: Mapping[str, Any]) -> Any:
        place = one["tokenizer"]
        if place not in self._tokenizers:
            from tokenizers import Tokenizer

            tokenizer = Tokenizer.from_file(str(self.folder / place / "tokenizer.json"))
            tokenizer.no_padding()
            tokenizer.no_truncation()
            if one["truncate"]:
                tokenizer.enable_truncation(one["max_tokens"])
            self._tokenizers[place] = tokenizer
        return self._tokenizers[place]

    def _arrays(self, name: str, one: Mapping[str, Any], items: Sequence[Any]) -> dict[str, np.ndarray]:
        rows = [_array(item) for item in items]
        rows = [row[: one["max_tokens"]] if one["truncate"] and row.ndim else row for row in rows]
        for number, row in enumerate(rows):
            _check_array(row, one, _called(items[number], name, number))
        if one["lengths"] is None:
            return {name: np.stack(rows).astype(one["dtype"])}
        lengths = np.array([len(row) for row in rows], np.int64)
        width = one["pad_to"] or int(lengths.max(initial=1))
        padded = np.zeros((len(rows), width, *one["shape"][1:]), one["dtype"])
        for number, row in enumerate(rows):
            padded[number, : len(row)] = row
        return {name: padded, one["lengths"]: lengths}


def _called(item: Any, name: str, number: int) -> str:
    """What messages call an item: its file, or else its place."""
    return str(item) if isinstance(item, str | Path) else f"{name}[{number}]"


def _image(item: Any, one: Mapping[str, Any], what: str) -> np.ndarray:
    """float32 (channels, size, size) in [0, 255]."""
    try:
        picture = _convert(_open(item), "L" if one["channels"] == 1 else "RGB")
    except Exception as error:  # Pillow's decoders raise whatever a damaged file makes them trip over
        raise BadInput(f"{what}: no image that can be read ({_reason(error)})") from error
    view, size = one["view"], one["size"]
    if picture.size != (view, view):
        box = _plain_box(*picture.size, view)
        picture = picture.resize((view, view), Image.Resampling.BILINEAR, box=box)
    pixels = np.asarray(picture, np.uint8).reshape(view, view, one["channels"])
    return np.stack([_sized(pixels[:, :, channel], size) for channel in range(one["channels"])])


def _array(item: Any) -> np.ndarray:
    if not isinstance(item, str | Path):
        return np.asarray(item)
    try:
        return np.asarray(np.load(item))
    except Exception as error:  # a file that is none of numpy's trips its reader in many ways
        raise BadInput(f"{item}: no .npy file that can be read ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _sized(plane: np.ndarray, size: int) -> np.ndarray:
    """One channel at the model's size: bilinear, antialiased, in floating point."""
    if plane.shape == (size, size):
        return plane.astype(np.float32)
    picture = Image.fromarray(plane.astype(np.float32))
    return np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR), np.float32)


def _open(item: Any) -> Image.Image:
    if isinstance(item, Image.Image):
        picture = item
    elif isinstance(item, np.ndarray):
        if item.dtype != np.uint8:
            raise ValueError(f"an array of pixels is uint8, and this is {item.dtype}")
        picture = Image.fromarray(item[:, :, 0] if item.ndim == 3 and item.shape[2] == 1 else item)
    else:
        picture = Image.open(io.BytesIO(item) if isinstance(item, bytes) else item)
    if picture.width * picture.height > _PIXELS:
        raise ValueError(f"{picture.width} x {picture.height} pixels are too many; {_PIXELS} are the most")
    picture.load()  # Pillow is lazy: a damaged file is told now
    return picture


def _convert(picture: Image.Image, mode: str) -> Image.Image:
    """Transparent images are laid on white, and 16-bit images keep their upper 8 bits."""
    if picture.mode == mode and "transparency" not in picture.info:
        return picture
    if picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format == "PNG"):
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise ValueError(f"a 32-bit image (mode {picture.mode}) has no one meaning in 8 bits")
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        picture = Image.alpha_composite(white, picture.convert("RGBA"))
    return picture.convert(mode)


def _plain_box(width: int, height: int, size: int) -> tuple[float, float, float, float]:
    """What stays of an image whose shorter side becomes `size` and whose centre is cut out."""
    if width <= height:
        top, bottom = _span(height, width, size)
        return 0.0, top, float(width), bottom
    left, right = _span(width, height, size)
    return left, 0.0, right, float(height)


def _span(long: int, short: int, size: int) -> tuple[float, float]:
    resized = int(size * long / short)
    start = (resized - size) // 2
    return start * long / resized, (start + size) * long / resized


def _check_array(row: np.ndarray, one: Mapping[str, Any], what: str) -> None:
    shape, wanted = row.shape, tuple(one["shape"])
    free = one["lengths"] is not None
    if (shape[1:] if free else shape) != (wanted[1:] if free else wanted) or row.ndim != len(wanted):
        raise BadInput(f"{what} has the shape {shape}, and the model takes {wanted}")
    if free and not 0 < len(row) <= one["max_tokens"]:
        raise BadInput(f"{what} has {len(row)} places, and the model reads 1 to {one['max_tokens']}")
    if row.dtype.kind not in "biuf" or not np.isfinite(row).all():
        raise BadInput(f"{what} holds what is no finite number")
