"""Softmax in float64, and its entropy: tiny probabilities keep their digits, whatever dtype the teacher speaks in."""

from array_api_compat import array_namespace, to_device

from ..codec import Array


def double(values: Array) -> Array:
    """Values of any float dtype as float64."""
    xp = array_namespace(values)
    try:
        return xp.astype(values, xp.float64)
    except TypeError:  # a GPU without float64: the host has it
        return xp.astype(to_device(values, "cpu"), xp.float64)


def log_sum_exp(values: Array) -> Array:
    """log(sum(exp(values))) over the last axis: (n, C) -> (n, 1)."""
    xp = array_namespace(values)
    top = xp.max(values, axis=-1, keepdims=True)
    return top + xp.log(xp.sum(xp.exp(values - top), axis=-1, keepdims=True))


def log_softmax(logits: Array) -> Array:
    """log of the softmax over the last axis, (n, C). The largest is taken off first: a sum could swallow its log."""
    shifted = logits - array_namespace(logits).max(logits, axis=-1, keepdims=True)
    return shifted - log_sum_exp(shifted)


def entropy(logits: Array) -> Array:
    """Entropy of softmax(logits) in nats: (n, C) float64 -> (n,)."""
    xp = array_namespace(logits)
    log_probability = log_softmax(logits)
    return -xp.sum(xp.exp(log_probability) * log_probability, axis=-1)
