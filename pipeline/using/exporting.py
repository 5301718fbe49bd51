"""Export of one finished student as the command line asks for it: what is known of it, and real rows of its run."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from ...cache import Cache, open_cache
from ...cache.opening import cache_exists
from ...stages.deploy.evaluation.candidate import Candidate, read_candidate
from ...stages.deploy.export.export import Asked, default_folder, export_student
from ...stages.deploy.export.facts import collect_facts
from ...stages.deploy.export.manifest import Exported
from ...stages.deploy.export.rows import RealRows
from ...stages.deploy.export.web.page import AskedPage
from ...stages.deploy.quantise.export_int8 import Int8, export_int8
from ...stages.deploy.quantise.way import WAYS, Way
from ...stages.deploy.run_cache import run_cache
from ...stages.errors import StageError
from ...stages.student.inputs.feed import Feed
from ...stages.student.inputs.shape import InputShape
from ...stages.student.inputs.spec import asked_sources
from ...stages.student.stream.join import Join
from ..config import Config
from ..jobs import open_set, open_training

JUDGED = 4096  # rows of the held-out set that int8 is judged on, at most


def export_checkpoint(
    folder: Path,
    target: str,
    out: Path | None,
    config: Config | None,
    outputs: tuple[str, ...] | None,
    tolerance: float,
    replace: bool,
    licence: str | None,
    int8: Mapping[str, object] | None,
    page: tuple[Path | None, tuple[Path, ...]] | None = None,
    unchecked: bool = False,
) -> tuple[Path, Exported]:
    """Where the export lies, and what it is. `int8` says `way`, `rows` and `agreement`; None exports in float32. `page`
    (of target web): where the page's runtime lies, and the pictures that it offers. `unchecked` as the target needs.

    Raises StageError for what cannot be exported.
    """
    candidate = read_candidate(folder)
    place = out or default_folder(candidate, target, int8 is not None)
    asked = Asked(target, place, outputs, tolerance, replace, None if page is None else AskedPage(*page), unchecked)
    facts = collect_facts(candidate, _cache(candidate, config), licence)
    if int8 is None:
        return place, export_student(candidate, asked, facts)
    if config is None:
        raise StageError("--int8 is judged on held-out rows, and calibrated with cached ones: --config recipe.yaml")
    _check_run(candidate, config)
    way, rows, agreement = int8["way"], int8["rows"], int8["agreement"]
    assert isinstance(rows, int) and isinstance(agreement, float)
    settings = Int8(_judged(candidate, config), _calibration(candidate, config, rows), _way(way), agreement)
    return place, export_int8(candidate, asked, facts, settings)


def _way(way: object) -> Way | None:
    if way is not None and way not in WAYS:
        raise StageError(f"--way: there is no {way!r}; there are {', '.join(WAYS)}")
    return way


def _cache(candidate: Candidate, config: Config | None) -> Cache | None:
    """The training cache: the configuration's, or the one in the run's folder; None where there is none."""
    if config is None:
        return run_cache(candidate.folder)
    return open_cache(config.cache_path) if cache_exists(config.cache_path) else None


def _check_run(candidate: Candidate, config: Config) -> None:
    if (config.run / "students").resolve() not in candidate.folder.resolve().parents:
        raise StageError(
            f"{candidate.folder} is no student of this configuration, whose students lie in {config.run / 'students'}"
        )


def _judged(candidate: Candidate, config: Config) -> RealRows:
    """Held-out rows of the main set, with their class numbers."""
    cache, join = open_set(config, next(iter(config.evaluate.named_sets)))
    labels = np.concatenate([np.zeros(0, np.int64), *(cache.reader(shard).labels for shard in cache.shards)])
    rows = _spread(cache.rows, JUDGED)
    return RealRows(_inputs(candidate, join, rows), labels[rows])


def _calibration(candidate: Candidate, config: Config, count: int) -> RealRows:
    """Rows of the training cache, spread evenly over all of it."""
    cache, join = open_training(config)
    rows = _spread(cache.rows, count)
    return RealRows(_inputs(candidate, join, rows), np.full(len(rows), -1, np.int64))


def _spread(total: int, count: int) -> np.ndarray:
    return np.unique(np.linspace(0, total - 1, min(count, total)).astype(np.int64))


def _inputs(candidate: Candidate, join: Join, rows: np.ndarray) -> dict[str, np.ndarray]:
    """What the student is given of rows; texts and sequences as wide as the longest may be."""
    student = candidate.saved.student
    feed = Feed(join, asked_sources([(student.name, student.takes)]))
    feed.require(student.takes, candidate.saved.shape.inputs, str(candidate.folder))
    given = feed.shared(rows, torch.device("cpu")).inputs(student.takes, len(rows))
    shapes = candidate.saved.shape.completed(student).inputs
    return {name: _widened(values.numpy(), shapes[name]) for name, values in given.items()}


def _widened(values: np.ndarray, shape: InputShape) -> np.ndarray:
    if shape.shape[:1] != (None,) or shape.longest is None:
        return values
    room = [(0, 0), (0, shape.longest - values.shape[1]), *[(0, 0)] * (values.ndim - 2)]
    return np.pad(values, room, constant_values=shape.padding or 0)
