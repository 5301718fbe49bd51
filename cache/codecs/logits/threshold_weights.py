"""The weight of each sampled class at a temperature, from what threshold sampling has kept. float32."""

from typing import Any

from array_api_compat import array_namespace

from ..codec import Array
from .threshold_values import Sizes, mean_factor


def threshold_weights(sizes: Sizes, threshold: Array, power: float, normaliser: Array | float) -> Array:
    """Weights (n, k) whose expectation is size^power / exp(normaliser); log tau and normaliser (n, 1).

    A class that was drawn is divided by its inclusion exp(u), so at power 1 it weighs tau, whatever its u.
    """
    xp = array_namespace(threshold)
    others = _weigh(xp, sizes, threshold, power, normaliser, xp.astype(sizes.head, xp.float32))[:, 1:]
    first = _weigh(xp, sizes, threshold, power, normaliser, 1.0)[:, :1]  # kept for certain, head or not
    implied = _implied(xp, sizes, threshold, power, normaliser)
    return xp.concat([xp.where(sizes.implied, implied, first), others], axis=-1)


def _weigh(xp: Any, sizes: Sizes, threshold: Array, power: float, normaliser: Array | float, certain: Any) -> Array:
    """size^power / inclusion / exp(normaliser), with the mean effect of the dither divided out."""
    exponent = power - 1.0 + certain  # of exp(u), and so of its error
    log_weight = exponent * sizes.u + power * threshold - normaliser
    return xp.exp(log_weight) / mean_factor(exponent * sizes.step)


def _implied(xp: Any, sizes: Sizes, threshold: Array, power: float, normaliser: Array | float) -> Array:
    """The first entry's weight (n, 1) when its size is 1 - (the others' weights at power 1).

    At another power the errors of the other heads, of variance (size step)^2 / 12, bend its mean: by the second order
    of x^power, which is divided out.
    """
    head = xp.astype(sizes.head, xp.float32)
    weights = _weigh(xp, sizes, threshold, 1.0, 0.0, head)[:, 1:]
    left = xp.clip(1.0 - xp.sum(weights, axis=-1, keepdims=True), 2.0**-20, None)
    if power == 1.0:
        return left
    variance = xp.sum((weights * (head * sizes.step)[:, 1:] / left) ** 2, axis=-1, keepdims=True) / 12
    return xp.exp(power * xp.log(left) - normaliser) / (1 - power * (1 - power) / 2 * variance)
