"""Whether a teacher says of a row the same, whoever else is in the batch. A cache keeps rows, so it has to."""

from typing import Any

import numpy as np

from ...cache.codecs import HeadLogits, QueryKey, Ragged
from ..device import pick_device
from ..errors import StageError
from .answer import heard_row, largest_value
from .families.family import open_teacher, teacher_inputs
from .inputs.loader import PreparedPieces
from .job import CacheJob

_ROWS = 4
# of the largest value: batches of other sizes add up in another order
SLACK = {"float32": 1e-3, "float16": 1e-2, "bfloat16": 5e-2}


def check_independence(job: CacheJob) -> None:
    """Hear some rows of the first shard together, then each alone, with the same padding.

    Raises StageError, naming the signal, when they are not the same within the rounding of the teacher's dtype.
    """
    shard = job.source.shards()[0]
    piece = (shard, 0, min(_ROWS, len(job.source.open(shard))), True)
    prepare = teacher_inputs(job.teacher, job.folder, job.source, job.policy)
    prepared = PreparedPieces(job.source, job.policy, prepare, [piece], False)[0]
    device = pick_device(job.teacher.device)
    teacher = open_teacher(job.teacher, job.folder, job.signals, device)
    try:
        inputs = {name: value[:_ROWS].to(device) for name, value in prepared.inputs.items()}
        together = teacher(inputs)
        packings = {name: schema.packing for name, schema in job.schemas(together, prepare.longest).items()}
        axes = {name: () if packing is None else packing.axes for name, packing in packings.items()}
        for row in range(min(_ROWS, prepared.rows)):
            alone = teacher({name: value[row : row + 1] for name, value in inputs.items()})
            for name, values in together.items():
                slack = SLACK[job.teacher.autocast or job.teacher.dtype]
                _compare(name, heard_row(values, row), heard_row(alone[name], 0), axes[name], slack)
    finally:
        teacher.close()


def _compare(name: str, among: Any, alone: Any, axes: tuple[int, ...], slack: float) -> None:
    allowed = slack * max(largest_value(among), 1e-6)
    for one, other in zip(_arrays(among, axes), _arrays(alone, axes), strict=True):
        apart = float(np.abs(one - other).max(initial=0)) if one.shape == other.shape else float("inf")
        if not apart <= allowed:
            raise StageError(
                f"cache.signals.{name}: what the teacher says of a sample depends on which others are in the batch "
                f"({apart:.2g} apart, {allowed:.2g} is rounding): a cache of rows cannot keep it. Look for layers that "
                "mix rows (batch statistics, contrast within the batch), or hear a point before them"
            )


def _arrays(value: Any, axes: tuple[int, ...]) -> list[np.ndarray]:
    """What a row says, without what stands in its padding; `axes` of the row count tokens."""
    match value:
        case Ragged():
            return [_unpadded(value.values, int(value.lengths[0]), axes)]
        case QueryKey() if value.lengths is not None:
            length = int(value.lengths[0])
            return [side[:, :, :length] for side in (value.query, value.key)]
        case QueryKey():
            return [value.query, value.key]
        case HeadLogits():
            return _arrays(value.hidden, axes)
        case _:
            return [value]


def _unpadded(values: np.ndarray, length: int, axes: tuple[int, ...]) -> np.ndarray:
    cut = (slice(0, length) if axis in axes else slice(None) for axis in range(values.ndim - 1))
    found: np.ndarray = values[(slice(None), *cut)]
    return found
