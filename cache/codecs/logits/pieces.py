"""Rows in pieces whose temporaries fit into bounded memory, however many classes a row has."""

from collections.abc import Callable

from array_api_compat import array_namespace

from ..codec import Array

_MOST = 1 << 22  # values of a piece: each float64 temporary of it takes 32 MiB


def encode_in_pieces(values: Array, encode: Callable[[Array], dict[str, Array]], width: int = 0) -> dict[str, Array]:
    """`encode` on some rows of `values` (n, C) at a time; the parts of all of them. `width`: values of one row in the
    widest temporary, where that is not C."""
    xp = array_namespace(values)
    rows = max(1, _MOST // max(values.shape[-1], width))
    if values.shape[0] <= rows:
        return encode(values)
    pieces = [encode(values[start : start + rows]) for start in range(0, values.shape[0], rows)]
    return {name: xp.concat([piece[name] for piece in pieces], axis=0) for name in pieces[0]}
