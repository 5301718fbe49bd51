"""The codecs of logits from their parameters, each checked: a manifest may come from anywhere."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

from ...errors import CacheError, DamagedCacheError
from ..codec import Array, Codec
from ..dense import Dense
from ..int8 import Int8
from .head import Head
from .pps import PPS
from .sampling import RandomSampling
from .topk import TopK

_TEMPERATURES = (1.0, 2.0, 4.0)
_MOST_DRAWS = 255  # a count is one byte


def build_topk(k: int | None = None, temperatures: Sequence[float] = _TEMPERATURES, entropy: bool = False) -> Codec:
    """The k largest logits with exact tails; `entropy` is kept by caches that are written now."""
    return TopK(_count("topk", "k", k, 1), _positive("topk", temperatures), bool(entropy))


def build_pps(
    k: int | None = None, temperatures: Sequence[float] = _TEMPERATURES, sample_temperature: float = 1.0
) -> Codec:
    """k sampled classes. One is always the largest, so there must be two."""
    drawn = _positive("pps", [sample_temperature])[0]
    return PPS(_count("pps", "k", k, 2), _positive("pps", temperatures), drawn)


def build_sampling(draws: int | None = None, sample_temperature: float = 1.0) -> Codec:
    """Classes drawn with replacement, at most 255 of a row."""
    return RandomSampling(
        _count("sampling", "draws", draws, 1, _MOST_DRAWS), _positive("sampling", [sample_temperature])[0]
    )


def build_head(
    keep: str = "f16",
    classes: int | None = None,
    weight: Array | None = None,
    bias: Array | None = None,
) -> Codec:
    """The input of the head; weight (classes, d) and bias (classes,) are constants of the cache."""
    if keep not in ("f16", "int8"):
        raise CacheError(f"codec head keeps the head's input as f16 or int8, not {keep!r}")
    if classes is not None:
        _count("head", "classes", classes, 1)
    if weight is not None and bias is not None:
        _check_head(weight, bias, classes)
    if keep == "int8":
        return Head("int8", Int8(), classes, weight, bias)
    return Head("f16", Dense("f16"), classes, weight, bias)


def _check_head(weight: Array, bias: Array, classes: int | None) -> None:
    shapes = tuple(weight.shape), tuple(bias.shape)
    if len(shapes[0]) != 2 or shapes[1] != shapes[0][:1] or classes not in (None, shapes[0][0]):
        raise DamagedCacheError(
            f"the cache keeps a head of {classes} classes whose weight is {shapes[0]} and whose bias is {shapes[1]}"
        )


def _count(codec: str, name: str, value: Any, least: int, most: int = 1 << 31) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        bounds = f"of at least {least}" if most == 1 << 31 else f"from {least} to {most}"
        raise CacheError(f"codec {codec} needs {name}, a number {bounds}, such as {name}: 16; not {value!r}")
    return value


def _positive(codec: str, values: Sequence[Any]) -> tuple[float, ...]:
    try:
        found = tuple(dict.fromkeys(float(value) for value in values))
    except (TypeError, ValueError) as error:
        raise CacheError(f"codec {codec}: {values!r} are no temperatures") from error
    if not found or not all(value > 0 and isfinite(value) for value in found):
        raise CacheError(f"codec {codec}: temperatures are positive numbers, not {list(values)}")
    return found
