"""Causal language models. Logits of every token are wide: keep some classes of each, what enters the head (`codec:
head`), or the last token's alone (`reduce: last`).

Where all signals of logits are of the last token, and none keeps the head's input, the head runs on last tokens alone.
"""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ....cache.codecs import Ragged
from ....cache.spec import SignalSpec
from ...capture.ragged import token_runs
from ..signals.signal_schema import Heard
from ..spec import TeacherSpec
from .hearing import Hearing
from .loading import load_pretrained


class CausalLM:
    """A teacher of the AutoModelForCausalLM family; an `Adapter`."""

    def __init__(
        self, spec: TeacherSpec, folder: Path, signals: Mapping[str, SignalSpec], device: torch.device
    ) -> None:
        self.device = device
        self.model: Any = load_pretrained("AutoModelForCausalLM", spec, folder, device)
        self._takes = frozenset(inspect.signature(self.model.forward).parameters)
        logits = [signal for name, signal in signals.items() if (signal.point or name) == "logits"]
        self._last = "logits_to_keep" in self._takes and all(
            signal.reduce == "last" and signal.codec != "head" for signal in logits
        )
        given = ("logits",) if self._last else ()
        self._hearing = Hearing(self.model, signals, device, spec.autocast, given=given)

    @property
    def config(self) -> Any:
        return self.model.config

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Heard]:
        """`input_ids` and `attention_mask`, each (B, T), padded on the right -> what was heard."""
        known = {name: value for name, value in inputs.items() if name in self._takes}
        return self._hearing.run(len(inputs["input_ids"]), lambda: self._read(known))

    def facts(self) -> dict[str, Any]:
        return self._hearing.facts()

    def classes(self) -> tuple[str, ...]:
        return ()

    def constants(self) -> Mapping[str, Tensor]:
        return {}

    def close(self) -> None:
        self._hearing.close()

    def _read(self, inputs: Mapping[str, Tensor]) -> dict[str, Ragged]:
        """One pass; with last tokens alone the head runs on the places where a row of the batch ends."""
        if not self._last:
            self.model(**inputs, use_cache=False)
            return {}
        start, lengths = token_runs(inputs["attention_mask"])
        places, which = torch.unique(start + lengths - 1, return_inverse=True)
        logits = self.model(**inputs, use_cache=False, logits_to_keep=places).logits
        last = logits[torch.arange(len(which), device=which.device), which]
        return {"logits": Ragged(last[:, None], torch.ones_like(lengths))}
