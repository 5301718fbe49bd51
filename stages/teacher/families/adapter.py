"""The seam between phase one and a kind of teacher: prepared inputs in, heard signals out.

An adapter loads its model, knows where its points are, and says what else a cache keeps of it. It knows no source and
no cache.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from ..signals.signal_schema import Heard


class Adapter(Protocol):
    """A loaded teacher that is being listened to, until `close`."""

    @property
    def device(self) -> torch.device: ...

    @property
    def config(self) -> Any:
        """The model's configuration as transformers has it; None where it has none."""
        ...

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Heard]:
        """Run the model once on inputs that are on its device: {signal: (B, ...)} in the model's dtype, `Ragged` where
        rows differ in length, `QueryKey` for `codec: factored`, `HeadLogits` for `codec: head` (its `hidden` is Ragged
        where rows differ in tokens)."""
        ...

    def facts(self) -> dict[str, Any]:
        """For people, kept in the manifest: class, parameters, bytes of the weights. JSON."""
        ...

    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the logits; () for a teacher without classes."""
        ...

    def constants(self) -> Mapping[str, Tensor]:
        """What a cache keeps of the teacher once, by name; may be empty."""
        ...

    def close(self) -> None:
        """Stop listening."""
        ...
