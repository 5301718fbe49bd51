"""Soft targets of which a sample of the classes is kept, without bias. Losses read this form; nothing is densified."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace


@dataclass(frozen=True, slots=True)
class SampledTargets:
    """A random set of classes of each row, weighted so that the expectation over draws is the softmax itself.

    `ids` (n, k) int64, the likeliest class first; `weights[T]` (n, k) float32 for each allowed temperature T: scattered
    to the ids their expectation is softmax(z / T). An entry of weight 0 says nothing. `entropy` (n,) float32, of
    softmax(z), in nats. numpy arrays or torch tensors, all of one kind. `classes` is the width of the dense row.

    A loss that is linear in the target, such as -sum(weights * log q[ids]), is unbiased, and so is its gradient.
    """

    ids: Any
    weights: Mapping[float, Any]
    entropy: Any
    classes: int


def sampling_error(probability: Any, decoded: SampledTargets, temperature: float) -> dict[str, float]:
    """`max_abs`, `row_l1` and `row_l1_mean` of |weights - probability| over all classes; probability (n, C) dense."""
    xp = array_namespace(probability)
    weights = xp.astype(decoded.weights[temperature], probability.dtype)
    kept = xp.take_along_axis(probability, decoded.ids, axis=-1) * (weights != 0)
    distance = xp.abs(weights - kept)
    rows = xp.sum(distance, axis=-1) + 1.0 - xp.sum(kept, axis=-1)  # a class that is not kept loses its probability
    figures = {"max_abs": xp.max(distance), "row_l1": xp.max(rows), "row_l1_mean": xp.mean(rows)}
    return {name: float(figure) for name, figure in figures.items()}
