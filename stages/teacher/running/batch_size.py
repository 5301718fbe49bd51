"""`teacher.batch_size: auto`: passes of 1, 2, 4, ... rows are tried on the device until more rows bring no more speed,
or would not leave half of the memory free for what is encoded and written meanwhile.

The rows tried are the longest of some samples of the source, over and over. Rows that need more than these are met
later by halving.
"""

from collections.abc import Callable
from time import perf_counter

import torch
from torch import Tensor

from ..families.adapter import Adapter
from ..inputs.batch import PreparedBatch
from .memory import free_bytes, peak_bytes, ran_out, release

MOST = 1024  # rows; by then every device is full
_GAIN = 1.05  # what a doubling has to bring
_TIMES = 2  # each size; the first pass of a shape is slow
_ROOM = 0.5  # of the free memory


def find_batch_size(teacher: Adapter, prepared: PreparedBatch, device: torch.device) -> int:
    """Rows of a pass. `prepared` are some rows, at least one."""
    inputs = _longest(prepared)

    def seconds(rows: int) -> float:
        given = {name: _repeated(x, rows).to(device) for name, x in inputs.items()}
        return min(_timed(teacher, given, device) for _ in range(_TIMES))

    return search(seconds, lambda: _room(device), lambda: peak_bytes(device), lambda: release(device))


def search(
    seconds: Callable[[int], float],
    room: Callable[[], int | None],
    peak: Callable[[], int],
    recover: Callable[[], None] = lambda: None,
) -> int:
    """The smallest of 1, 2, 4, ..., `MOST` rows that is as fast as any; `seconds(rows)` runs a pass, `room()` are bytes
    that may be taken, `peak()` the most that were in use. The size before the first that runs out of memory."""
    rates: dict[int, float] = {}
    rows, before = 1, peak()
    while rows <= MOST:
        allowed = room()
        try:
            rates[rows] = rows / seconds(rows)
        except Exception as error:
            if not ran_out(error) or not rates:
                raise
            failed = True
        else:
            failed = False
        if failed:
            recover()
            break
        grown, before = peak() - before, max(before, peak())
        # half of these rows took `grown` less, so that twice as many take four times as much
        slower = rows > 8 and rates[rows] < _GAIN * max(rate for size, rate in rates.items() if size < rows)
        if slower or (allowed is not None and 4 * grown > allowed):
            break
        rows *= 2
    best = max(rates.values())
    return min(size for size, rate in rates.items() if rate * _GAIN >= best)


def _room(device: torch.device) -> int | None:
    free = free_bytes(device)
    return None if free is None else int(_ROOM * free)


def _timed(teacher: Adapter, inputs: dict[str, Tensor], device: torch.device) -> float:
    started = perf_counter()
    teacher(inputs)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return max(1e-9, perf_counter() - started)


def _longest(prepared: PreparedBatch) -> dict[str, Tensor]:
    """The row with the most tokens, where rows have tokens; else the first."""
    mask = prepared.inputs.get("attention_mask")
    row = 0 if mask is None else int(mask.sum(dim=1).argmax())
    return {name: x[row : row + 1] for name, x in prepared.inputs.items()}


def _repeated(row: Tensor, rows: int) -> Tensor:
    return row.expand(rows, *row.shape[1:]).contiguous()
