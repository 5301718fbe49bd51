"""The codecs of logits from their parameters, each checked: a manifest may come from anywhere."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

from ...errors import CacheError
from ..codec import Codec
from .pps import PPS
from .topk import TopK

_TEMPERATURES = (1.0, 2.0, 4.0)


def build_topk(k: int | None = None, temperatures: Sequence[float] = _TEMPERATURES, entropy: bool = False) -> Codec:
    """The k largest logits with exact tails; `entropy` is kept by caches that are written now."""
    return TopK(_count("topk", "k", k, 1), _positive("topk", temperatures), bool(entropy))


def build_pps(
    k: int | None = None, temperatures: Sequence[float] = _TEMPERATURES, sample_temperature: float = 1.0
) -> Codec:
    """k sampled classes. One is always the largest, so there must be two."""
    drawn = _positive("pps", [sample_temperature])[0]
    return PPS(_count("pps", "k", k, 2), _positive("pps", temperatures), drawn)


def _count(codec: str, name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise CacheError(f"codec {codec} needs {name}, a number of at least {least}, such as {name}: 16; not {value!r}")
    return value


def _positive(codec: str, values: Sequence[Any]) -> tuple[float, ...]:
    try:
        found = tuple(dict.fromkeys(float(value) for value in values))
    except (TypeError, ValueError) as error:
        raise CacheError(f"codec {codec}: {values!r} are no temperatures") from error
    if not found or not all(value > 0 and isfinite(value) for value in found):
        raise CacheError(f"codec {codec}: temperatures are positive numbers, not {list(values)}")
    return found
