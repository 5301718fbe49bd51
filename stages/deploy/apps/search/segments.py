"""What an index holds on disk: numbered segments, each written whole, folded in their order.

A segment adds rows (a path that is there already is replaced) and takes rows out. A killed writer leaves whole segments
alone, so it goes on where it stopped. A segment that says it is the whole makes all before it superfluous.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ....errors import StageError
from ....student.files.durable_files import write_whole

_PATTERN = "segment-*.npz"


@dataclass(frozen=True, slots=True)
class Segment:
    """`vectors` float32 (n, D) of unit length; `paths` (n,) below the root; `stamps` int64 (n, 2): bytes and time of
    change in ns; `removed` (m,) paths that are gone."""

    vectors: np.ndarray
    paths: np.ndarray
    stamps: np.ndarray
    removed: np.ndarray = field(default_factory=lambda: np.zeros(0, np.str_))
    whole: bool = False


def write_segment(folder: Path, segment: Segment) -> Path:
    """Write the next segment. Raises StageFailed when the disk does not take it."""
    numbers = [_number(path) for path in folder.glob(_PATTERN)]
    path = folder / f"segment-{max(numbers, default=-1) + 1:06}.npz"
    out = io.BytesIO()
    np.savez(
        out,
        vectors=segment.vectors,
        paths=segment.paths,
        stamps=segment.stamps,
        removed=segment.removed,
        whole=np.asarray(segment.whole),
    )
    write_whole(path, out.getvalue())
    return path


def read_segments(folder: Path) -> Segment:
    """All segments folded into one, rows sorted by path. Raises StageError for a file that cannot be read."""
    rows: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for path in sorted(folder.glob(_PATTERN), key=_number):
        segment = _read(path)
        if segment.whole:
            rows.clear()
        for name in segment.removed.tolist():
            rows.pop(name, None)
        rows.update(zip(segment.paths.tolist(), zip(segment.vectors, segment.stamps, strict=True), strict=True))
    names = sorted(rows)
    if not names:
        return Segment(np.zeros((0, 0), np.float32), np.zeros(0, np.str_), np.zeros((0, 2), np.int64))
    return Segment(np.stack([rows[n][0] for n in names]), np.array(names), np.stack([rows[n][1] for n in names]))


def compact(folder: Path, most: int = 16) -> None:
    """Make one segment of many. Killed in between, it leaves segments that the whole one overrules."""
    paths = sorted(folder.glob(_PATTERN), key=_number)
    if len(paths) <= most:
        return
    found = read_segments(folder)
    write_segment(folder, Segment(found.vectors, found.paths, found.stamps, whole=True))
    for path in paths:
        path.unlink(missing_ok=True)


def changed(found: Segment, files: Sequence[tuple[str, int, int]]) -> tuple[list[int], list[str]]:
    """Of files as (path, bytes, time in ns): the numbers of those that are new or changed, and the paths that an index
    holds and that are no more."""
    stamps = {path: tuple(stamp) for path, stamp in zip(found.paths.tolist(), found.stamps.tolist(), strict=True)}
    new = [number for number, (path, *stamp) in enumerate(files) if stamps.get(path) != tuple(stamp)]
    there = {path for path, *_ in files}
    return new, [path for path in stamps if path not in there]


def _number(path: Path) -> int:
    return int(path.stem.removeprefix("segment-"))


def _read(path: Path) -> Segment:
    try:
        with np.load(path, allow_pickle=False) as file:
            parts = {name: file[name] for name in Segment.__dataclass_fields__}
    except Exception as error:  # zip and numpy raise many kinds for a damaged file
        raise StageError(f"{path} cannot be read ({error}); delete {path.parent} and index anew") from error
    return Segment(**{**parts, "whole": bool(parts["whole"])})
