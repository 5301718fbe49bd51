"""Which text a view has: the plain view the first of a sample's, whole; the others what the policy's `caption` and
`token_dropout` have drawn.

A text is a function of what is stored and of the sample alone: word i is left out when the Philox number of (key, i) is
below the share. It refuses to leave out every word.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .draw import philox
from .policy import ViewPolicy

_DRAWN = ("caption.choice", "token_dropout.key", "token_dropout.share")
_53, _26 = 2**53, 2**26


def drawn_captions(policy: ViewPolicy, parameters: np.ndarray) -> np.ndarray | None:
    """float64 (n, 3) in [0, 1) from a view policy's parameters (n, P): which text, and the key and share of the words
    that are left out; None when the policy draws nothing of texts."""
    names = [name.partition(".")[2] for name in policy.parameters]
    if not any(name in names for name in _DRAWN):
        return None
    nothing = np.zeros(len(parameters))
    return np.stack([parameters[:, names.index(name)] if name in names else nothing for name in _DRAWN], axis=1)


def pick_caption(value: Any, drawn: float | Sequence[float]) -> str | None:
    """The text that a row of `drawn_captions`, or its first number alone, makes of a text or a list of texts; None for
    anything else."""
    choice, key, share = (drawn, 0.0, 0.0) if isinstance(drawn, int | float) else drawn
    if isinstance(value, str):
        return _thinned(value, key, share)
    if not isinstance(value, list) or not value or not all(isinstance(text, str) for text in value):
        return None
    return _thinned(str(value[min(int(choice * len(value)), len(value) - 1)]), key, share)


def _thinned(text: str, key: float, share: float) -> str:
    words = text.split()
    if share <= 0 or len(words) < 2:
        return text
    numbers = _word_numbers(key, len(words))
    kept = numbers >= share
    kept[np.argmax(numbers)] = True
    return text if kept.all() else " ".join(word for word, stays in zip(words, kept, strict=True) if stays)


def _word_numbers(key: float, count: int) -> np.ndarray:
    """float64 (count,) in [0, 1), the number of each word of a text, multiples of 2^-32."""
    bits = int(key * _53)
    counter = np.zeros((4, count), np.uint64)
    counter[0] = np.arange(count)
    keys = np.repeat(np.array([[bits // _26], [bits % _26]], np.uint64), count, axis=1)
    numbers: np.ndarray = philox(counter, keys)[0].astype(np.float64) * 2.0**-32
    return numbers
