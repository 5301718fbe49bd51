"""What a codec is: a pair of pure array functions, and what it leaves on disk.

A codec runs on numpy arrays and on torch tensors with one implementation (the array API), so that phase one encodes on
the teacher's device and phase two decodes on the student's. Nothing here imports torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from .logits.head_logits import HeadLogits
from .logits.sampled import SampledTargets
from .logits.sparse import SparseLogits
from .logits.token_logits import TokenLogits
from .ragged import Ragged

Array = Any  # a numpy array or a torch tensor
Decoded = Array | Ragged | SparseLogits | SampledTargets | HeadLogits | TokenLogits


@dataclass(frozen=True, slots=True)
class Part:
    """One array of an encoded signal: its name, numpy dtype, and shape without the rows.

    A ragged part holds elements instead of rows, as many per row as the signal's packing says; `shape` is an element's.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    ragged: bool = False


class Codec(Protocol):
    """How the values of one signal are kept. `shape` is always the signal's shape without the rows."""

    @property
    def name(self) -> str:
        """The word in the YAML and on disk."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What is needed to build the same codec again; JSON."""

    def parts(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        """The arrays that hold a signal of this shape. Raises CacheError when the codec cannot hold it."""

    def encode(self, values: Array) -> dict[str, Array]:
        """Values (n, *shape) of any float dtype -> the parts, each (n, *part.shape)."""

    def decode(self, parts: Mapping[str, Array], shape: tuple[int, ...]) -> Decoded:
        """The parts of n rows -> values (n, *shape) in float32, or one of the decoded forms (`SparseLogits`, ...)."""

    def error(self, values: Array, decoded: Any) -> dict[str, float]:
        """What was lost between values and decode(encode(values)), as named figures."""
