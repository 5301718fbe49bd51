"""Views of some rows of a shard from their stored parameters: the samples are decoded, and the partners of mixed views.

Whoever replays does it here, in phase one and in phase two, so that both have the same pixels.
"""

from collections.abc import Callable

import numpy as np

from ..sample import Sample, decode
from .policy import ViewPolicy


def replay_rows(
    policy: ViewPolicy, sample: Callable[[int], Sample], places: np.ndarray, parameters: np.ndarray, out: np.ndarray
) -> None:
    """Fill `out` uint8 (n, size, size, channels) with the views of the samples at `places` (n,) of one shard, which
    `sample` reads by place, from `parameters` (n, P). Rows of one sample that follow each other decode it once.

    Raises DataError, naming shard and sample, for an image that cannot be decoded.
    """
    partners = policy.partners(parameters)[0].tolist() if policy.mixes else [-1] * len(places)
    held = -1
    for row, (place, partner) in enumerate(zip(places.tolist(), partners, strict=True)):
        if place != held:
            image, held = decode(sample(place), policy.channels), place
        other = decode(sample(partner), policy.channels) if partner >= 0 else None
        out[row] = policy.replay(image, parameters[row], other)
