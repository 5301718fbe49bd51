"""Decoded values of which nothing was left out, as other codecs and averages need them."""

from typing import Any

import numpy as np

from ..codecs import Ragged
from ..errors import CacheError
from ..format.schema import SignalSchema


def dense(schema: SignalSchema, decoded: Any) -> Any:
    """An array (n, ...) or Ragged of a decoded signal.

    Raises CacheError for a form that keeps only some entries of a row, such as the top k: the others are not known.
    """
    if isinstance(decoded, np.ndarray | Ragged):
        return decoded
    if hasattr(decoded, "hidden"):  # a hidden state and the head's weight: the logits follow exactly
        return decoded.logits()
    raise CacheError(
        f"signal {schema.name} is kept by codec {schema.codec}, which leaves out most of a row: it cannot be "
        "recoded or averaged. Build it again with the codec that you want"
    )
