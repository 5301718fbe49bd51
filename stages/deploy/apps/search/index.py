"""An index of a folder of pictures: made, brought up to date, and asked. Nothing is embedded twice.

It belongs to one student: a checkpoint and all its exports, float or int8, may fill and ask it; another student is
refused, for its vectors mean something else.
"""

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from .....data import DataError
from ....errors import StageError
from ....student.files.durable_files import read_json, write_json
from ....student.files.lock import folder_lock
from ...bench.subject import find_subjects
from ...predict import Predictor, open_predictor
from ...predict.picture_files import picture_files
from .nearest import EXACT_BELOW, Nearest
from .segments import Segment, changed, compact, read_segments, write_segment

_DOCUMENT, _FORMAT, _BATCH = "index.json", 1, 64
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Indexed:
    """What one update did; `skipped` are files that are no picture, with the reason."""

    added: int
    removed: int
    total: int
    skipped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hit:
    """A picture that was found: its number in the index, its file, the cosine."""

    number: int
    path: Path
    cosine: float


def update_index(index: Path, root: Path, model: Path, progress: Progress = lambda done, total: None) -> Indexed:
    """Bring an index up to what lies in `root` now: new and changed pictures are embedded, those that are gone leave.

    A killed call is continued by the next. Raises StageError for a folder without pictures, a model without an image
    tower, and an index of another student or folder.
    """
    files = picture_files([root])
    predictor = open_predictor(model, _BATCH)
    if "image_embeds" not in predictor.model.outputs(frozenset(_image_inputs(predictor))):
        raise StageError(f"{model} gives no image_embeds: search needs a student of two towers, such as a CLIP")
    index.mkdir(parents=True, exist_ok=True)
    with folder_lock(index):
        _claim(index, root, model)
        return _update(index, root.resolve(), [path.resolve() for path in files], predictor, progress)


def _update(index: Path, root: Path, files: list[Path], predictor: Predictor, progress: Progress) -> Indexed:
    stamped = [(os.path.relpath(path, root), *_stamp(path)) for path in files]
    new, gone = changed(read_segments(index), stamped)
    skipped: list[str] = []
    if gone:
        write_segment(index, Segment(*_nothing(), removed=np.array(gone)))
    for start in range(0, len(new), _BATCH):
        part = new[start : start + _BATCH]
        kept, vectors = _embedded(predictor, [(number, files[number]) for number in part], skipped)
        if kept:
            paths, stamps = [stamped[n][0] for n in kept], np.array([stamped[n][1:] for n in kept], np.int64)
            write_segment(index, Segment(vectors, np.array(paths), stamps))
        progress(start + len(part), len(new))
    compact(index)
    total = len(read_segments(index).paths)
    return Indexed(len(new) - len(skipped), len(gone), total, tuple(skipped))


def _embedded(
    predictor: Predictor, files: Iterable[tuple[int, Path]], skipped: list[str]
) -> tuple[list[int], np.ndarray]:
    """Numbers and unit vectors of the files that are pictures; what is none is noted and left out."""
    kept, rows = [], []
    for number, path in files:
        try:
            rows.append(predictor.predict(path, "image")["image_embeds"])
            kept.append(number)
        except (DataError, StageError) as error:
            skipped.append(str(error))
    return kept, unit(np.stack(rows)) if rows else np.zeros((0, 0), np.float32)


class SearchIndex:
    """An index that stands in memory with its model, to be asked by text or picture. Safe in threads."""

    def __init__(self, index: Path, model: Path | None = None, exact_below: int = EXACT_BELOW) -> None:
        """`model`: another form of the index's student, such as its int8 export. Raises StageError for an index that is
        none, is empty, or belongs to another student."""
        content = _read(index)
        model = model or Path(content["model"])
        if _weights(model) != content["weights"]:
            raise StageError(f"{model} is another student than {index} was made with: index the folder anew with it")
        self.root = Path(content["root"])
        found = read_segments(index)
        if not len(found.paths):
            raise StageError(f"{index} holds no picture: run `teachercache search index {self.root} --into {index}`")
        self._paths, self.predictor = found.paths, open_predictor(model)
        key = hashlib.sha256(found.vectors.tobytes()).hexdigest()[:16]
        self._nearest = Nearest(found.vectors, index / f"graph-{key}.usearch", exact_below)

    def __len__(self) -> int:
        return len(self._paths)

    def path(self, number: int) -> Path:
        """The file of a row. Raises StageError for a number that there is not."""
        if not 0 <= number < len(self._paths):
            raise StageError(f"there is no picture {number}: the index holds {len(self._paths)}")
        return self.root / str(self._paths[number])

    def by_text(self, text: str, count: int) -> list[Hit]:
        """The pictures nearest to a text."""
        return self._hits(self.predictor.predict(text, "text")["text_embeds"], count)

    def by_image(self, image: Path | bytes | np.ndarray | Image.Image, count: int) -> list[Hit]:
        """The pictures nearest to a picture."""
        return self._hits(self.predictor.predict(image, "image")["image_embeds"], count)

    def _hits(self, vector: np.ndarray, count: int) -> list[Hit]:
        rows, cosines = self._nearest.find(unit(vector[None])[0], count)
        return [Hit(int(n), self.path(int(n)), float(c)) for n, c in zip(rows, cosines, strict=True)]


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows (n, D) as float32 of length one."""
    wide = rows.astype(np.float32)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    divided: np.ndarray = wide / np.maximum(lengths, np.float32(1e-12))
    return divided


def _claim(index: Path, root: Path, model: Path) -> None:
    weights, place = _weights(model), str(root.resolve())
    if not (index / _DOCUMENT).exists():
        content = {"format": _FORMAT, "root": place, "model": str(model.resolve()), "weights": weights}
        write_json(index / _DOCUMENT, content)
        return
    found = _read(index)
    if (found["root"], found["weights"]) != (place, weights):
        raise StageError(
            f"{index} is the index of {found['root']}, made with {found['model']}: another folder or student needs an "
            "index of its own"
        )


def _read(index: Path) -> dict[str, str]:
    content = read_json(index / _DOCUMENT)
    if content is None:
        raise StageError(f"{index} is no index (it has no {_DOCUMENT}): `teachercache search index` makes one")
    if content.get("format") != _FORMAT:
        raise StageError(f"{index} is of another version: delete it, and index anew")
    return content


def _weights(model: Path) -> str:
    return find_subjects([model])[0].weights


def _image_inputs(predictor: Predictor) -> list[str]:
    return [name for name, reading in predictor.model.readings.items() if reading.kind == "image"]


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _nothing() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.zeros((0, 0), np.float32), np.zeros(0, np.str_), np.zeros((0, 2), np.int64)
