"""One byte for the size of each sampled class, without bias at any temperature.

With u = log(size / tau), a class that is kept for certain (a head) has u >= 0 and a code from 128 to 255, on a grid of
the row's own base and step; one that was drawn has u < 0 and a code from 1 to 127, on a fixed grid. The place on the
grid is dithered by a number that the reader knows (draws.py) and takes off again, so the error e is uniform in
+-step / 2 whatever u is, and E[exp(b e)] = sinh(b step / 2) / (b step / 2) is divided out at each temperature's
exponent b (subtractive dither, Schuchman 1964). Plain rounding would be right in the mean at one temperature at most.

Code 0 stands for the first, largest class alone: its size is what the others' weights leave of 1.
"""

from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from ..codec import Array

_HEADS = 128  # codes from here on are heads
_LEVELS = 127.0
_TAIL_STEP = 0.3125  # down to exp(-39): a class that is drawn less often is never seen
_BASE = 2.5  # of the second byte of a row's grid
_LEAST = 2.0**-10  # a first class this likely is told by what the others leave, without losing digits
_LOG_2 = 0.6931471805599453


@dataclass(frozen=True, slots=True)
class Sizes:
    """`u` (n, k) log(size / tau) as it is read, without its dither; `head` (n, k) bool; `step` (n, k) of each entry's
    grid; `implied` (n, 1) bool, whether the first is what the others leave (its u means nothing then)."""

    u: Array
    head: Array
    step: Array
    implied: Array


def code_sizes(u: Array, threshold: Array, dither: Array) -> dict[str, Array]:
    """u (n, k), log tau (n, 1), dither (n, k) in [0, 1), all float64 -> `values` uint8 (n, k), and `grid` uint8 (n, 2):
    the codes of step and base."""
    xp = array_namespace(u)
    first = xp.concat([xp.ones_like(u[:, :1]), xp.zeros_like(u[:, 1:])], axis=-1) > 0
    implied = first & _is_implied(xp, u, threshold)
    head = u >= 0
    grid = _grid(xp, u, head & ~implied)
    height = xp.clip(xp.where(head, u - _base(grid), -u), 0.0, None)
    step = xp.where(head, _step(grid), xp.full_like(u, _TAIL_STEP))
    level = xp.clip(xp.floor(height / step + dither), 0.0, _LEVELS)
    code = xp.where(head, level + _HEADS, xp.clip(level + 1, None, _LEVELS))
    code = xp.where(implied, xp.zeros_like(code), code)
    return {"values": xp.astype(code, xp.uint8), "grid": xp.astype(grid, xp.uint8)}


def decode_sizes(values: Array, grid: Array, dither: Array) -> Sizes:
    """What `code_sizes` made, float32."""
    xp = array_namespace(values)
    code, wide = xp.astype(values, xp.float32), xp.astype(grid, xp.float32)
    head = code >= _HEADS
    step = xp.where(head, _step(wide), xp.full_like(code, _TAIL_STEP))
    height = (xp.where(head, code - _HEADS, code - 1) + (0.5 - dither)) * step
    return Sizes(xp.where(head, _base(wide) + height, -height), head, step, code[:, :1] == 0)


def mean_factor(width: Array) -> Array:
    """E[exp(e)] of an error e that is uniform in +-width / 2: sinh(width / 2) / (width / 2), of any shape."""
    xp = array_namespace(width)
    half = xp.abs(width) / 2
    series = 1 + half * half / 6 * (1 + half * half / 20)
    return xp.where(half < 0.05, series, xp.sinh(half) / xp.clip(half, 0.05, None))


def _is_implied(xp: Any, u: Array, threshold: Array) -> Array:
    """Whether 1 - (the others' weights) tells the first size to within its half, whatever the dither, (n, 1)."""
    first, others = xp.exp(u[:, :1] + threshold), u[:, 1:]
    head = others >= 0
    heads = xp.where(head, xp.exp(others + threshold), xp.zeros_like(others))
    most = xp.sum(heads, axis=-1, keepdims=True) * (xp.exp(_step(_grid(xp, others, head)) / 2) - 1)
    return (first >= _LEAST) & (most <= first / 2)


def _grid(xp: Any, u: Array, head: Array) -> Array:
    """Codes (n, 2) of the grid of these heads: the smallest step 2^((c - 191) / 16) of which 126 reach from the base,
    a multiple of 2.5 below the smallest head, to the largest. Zeros without heads."""
    low = xp.min(xp.where(head, u, xp.full_like(u, 1e9)), axis=-1, keepdims=True)
    high = xp.max(xp.where(head, u, xp.zeros_like(u)), axis=-1, keepdims=True)
    base = xp.clip(xp.floor(xp.minimum(low, high) / _BASE), 0.0, 255.0)
    span = xp.clip(high - _BASE * base, 1e-9, None) / (_LEVELS - 1)
    return xp.concat([xp.clip(xp.ceil(16 * xp.log2(span)) + 191, 0.0, 255.0), base], axis=-1)


def _step(grid: Array) -> Array:
    return array_namespace(grid).exp((grid[:, :1] - 191) * (_LOG_2 / 16))


def _base(grid: Array) -> Array:
    return grid[:, 1:] * _BASE
