"""Asks the teacher again for some rows of a cache, and holds what it says against what the cache has kept.

Whole batches are asked, cut as the build cut them, so that on the same machine the same bytes come out. Where they do
not, a row must lie as near to the teacher as its codec can bring it: another machine adds up in another order.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from ...cache import Cache, open_cache
from ...cache.codecs import Codec
from ...cache.spec import SignalSpec
from ...data import Source
from ..cache_identity import PIXELS
from ..device import pick_device
from ..errors import StageError
from .answer import encoded_rows, heard_row, largest_value
from .buckets import hear_rows, piece_samples
from .families.adapter import Adapter
from .families.family import open_teacher, teacher_inputs
from .independence import SLACK
from .inputs.batch import PreparedBatch
from .inputs.loader import Piece, PreparedPieces, plan_pieces
from .job import CacheJob
from .signals.signal_schema import Heard
from .skipping import as_recorded

_BATCHES = 8  # the rows asked for are spread over so many batches, or more when these have too few
_UNTOLD = 256  # rows of a pass where neither the receipt nor the settings say it
_DRAWN = ("pps", "sampling")  # codecs of which another draw is as good, so that figures alone prove little


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A row that is not what the teacher says: `found` and `allowed` are figures of its codec's error."""

    shard: str
    sample: str
    view: int
    signal: str
    found: Mapping[str, float]
    allowed: Mapping[str, float]

    def __str__(self) -> str:
        worst = max(self.found, key=lambda name: self.found[name] - self.allowed[name])
        return (
            f"signal {self.signal}, sample {self.sample!r} (view {self.view}) of shard {self.shard}: the teacher says "
            f"something else now ({worst} {self.found[worst]:.3g}, at most {self.allowed[worst]:.3g} would be right)"
        )


@dataclass(slots=True)
class Answer:
    """`rows` were asked for, in `batches`; of each signal's rows `equal` were kept byte for byte."""

    rows: int = 0
    batches: int = 0
    equal: int = 0
    compared: int = 0
    disagreements: list[Disagreement] = field(default_factory=list)


def ask_again(
    job: CacheJob, rows: int, seed: int, progress: Callable[[int, int], None] = lambda done, total: None
) -> Answer:
    """Ask the teacher for `rows` random rows of the finished shards of a job's cache.

    Raises StaleCacheError when the cache is not what the job asks for, StageError for one with noise.
    """
    if any(spec.private is not None for spec in job.signals.values()):
        raise StageError("cache.signals: rows with noise are not what the teacher says; --teacher cannot prove them")
    cache = open_cache(job.address, job.fingerprint, extensions=False)
    source = as_recorded(job.source, cache)
    answer, chosen = Answer(), _choose(job, source, cache, rows, np.random.default_rng(seed))
    if not chosen:
        return answer
    device = pick_device(job.teacher.device)
    heard = {name: _heard_as(spec) for name, spec in job.signals.items()}
    teacher = open_teacher(job.teacher, job.folder, heard, device)
    pieces = [piece for piece, _ in chosen]
    prepare = teacher_inputs(job.teacher, job.folder, job.source, job.policy)
    prepared = PreparedPieces(source, job.policy, prepare, pieces, job.keep_pixels)
    try:
        for number, (_, wanted) in enumerate(chosen):
            _compare(job, cache, teacher, prepared[number], wanted, answer)
            progress(answer.rows, rows)
    finally:
        teacher.close()
    return answer


def _heard_as(spec: SignalSpec) -> SignalSpec:
    """A signal as it is heard: nothing is built as pca, whose directions a finished cache has, and this one is."""
    return spec.model_copy(update={"codec": "f16"}) if spec.codec == "pca" else spec


def _batch_size(job: CacheJob, cache: Cache, shard: str) -> int:
    """Rows of a pass when the shard was built; older receipts do not say."""
    asked = job.teacher.batch_size
    recorded = cache.receipts[shard].cost.get("batch_size")
    return int(recorded or (_UNTOLD if asked == "auto" else asked))


def _choose(
    job: CacheJob, source: Source, cache: Cache, rows: int, rng: np.random.Generator
) -> list[tuple[Piece, np.ndarray]]:
    """Random batches of the build, and random rows of each: their numbers in the batch, ascending."""
    views = job.policy.count
    pieces = [
        piece
        for shard in cache.shards
        for piece in plan_pieces(source, [shard], piece_samples(job, _batch_size(job, cache, shard)))
    ]
    sizes = np.array([(stop - start) * views for _, start, stop, _ in pieces], np.int64)
    order = rng.permutation(np.flatnonzero(sizes))
    enough = int(np.searchsorted(np.cumsum(sizes[order]), rows)) + 1
    order = np.sort(order[: max(enough, min(_BATCHES, rows))])
    owner = np.repeat(order, sizes[order])
    place = np.concatenate([np.zeros(0, np.int64), *(np.arange(sizes[number]) for number in order)])
    picked = np.sort(rng.permutation(len(owner))[:rows])
    found = ((pieces[number], place[picked[owner[picked] == number]]) for number in order)
    return [(piece, wanted) for piece, wanted in found if len(wanted)]


def _compare(
    job: CacheJob, cache: Cache, teacher: Adapter, prepared: PreparedBatch, wanted: np.ndarray, answer: Answer
) -> None:
    """Hear one batch and hold the wanted rows of every signal against the cache."""
    heard: dict[str, Heard] = {}
    if job.signals:
        size = _batch_size(job, cache, prepared.shard)
        heard = dict(hear_rows(teacher, prepared, size, teacher.device))
    if prepared.views is not None:
        heard[PIXELS] = prepared.views
    first = int(cache.row_counts[: cache.shards.index(prepared.shard)].sum()) + prepared.start * job.policy.count
    slack = SLACK[job.teacher.autocast or job.teacher.dtype]
    for name, values in heard.items():
        schema, codec = cache.manifest.signals[name], cache.codec(name)
        with torch.inference_mode():
            encoded = {part: x.cpu().numpy() for part, x in codec.encode(values).items()}
        now = encoded_rows(schema, encoded, wanted)
        then = encoded_rows(schema, cache.encoded(name, first + wanted), np.arange(len(wanted)))
        same = [all(np.array_equal(a[part], b[part]) for part in a) for a, b in zip(now, then, strict=True)]
        answer.compared, answer.equal = answer.compared + len(same), answer.equal + sum(same)
        for row, ours, kept, equal in zip(wanted.tolist(), now, then, same, strict=True):
            if not equal:
                found, allowed = _figures(codec, schema.shape, heard_row(values, row), ours, kept, slack)
                if any(same) and schema.codec in _DRAWN:
                    allowed = dict.fromkeys(allowed, 0.0)  # this machine draws what the builder drew
                _note(answer, job, prepared, row, name, found, allowed)
    answer.rows, answer.batches = answer.rows + len(wanted), answer.batches + 1


def _note(
    answer: Answer,
    job: CacheJob,
    prepared: PreparedBatch,
    row: int,
    signal: str,
    found: Mapping[str, float],
    allowed: Mapping[str, float],
) -> None:
    """Keep a row whose error is larger than is right; one that is not a number is too."""
    if all(found[figure] <= allowed[figure] for figure in found):
        return
    sample, view = divmod(row, job.policy.count)
    where = (prepared.shard, str(prepared.ids[sample]), job.policy.first + view)
    answer.disagreements.append(Disagreement(*where, signal, found, allowed))


def _figures(
    codec: Codec,
    shape: tuple[int, ...],
    value: Heard,
    ours: Mapping[str, np.ndarray],
    kept: Mapping[str, np.ndarray],
    slack: float,
) -> tuple[dict[str, float], dict[str, float]]:
    """What the kept row loses of what the teacher says now, and the most that would be right."""
    best = codec.error(value, codec.decode(ours, shape))
    found = codec.error(value, codec.decode(kept, shape))
    scale = largest_value(value)
    allowed = {name: 2 * figure + slack * (scale if name == "max_abs" else 1.0) for name, figure in best.items()}
    return found, allowed
