"""Values of rows that differ in length, as teachers say them and as losses read them: padded, with the real lengths."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Ragged:
    """`values` (n, ...) padded to the longest row; `lengths` (n,) integers, the real tokens of each row, which come
    first. Decoded padding is 0. numpy arrays or torch tensors, both of one kind."""

    values: Any
    lengths: Any
