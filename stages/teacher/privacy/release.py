"""Private signals of a job: what they are known by, what was spent on them, and the rows as they may leave.

The noise of a row is a function of the secret key, the cache's fingerprint, signal, sample, view, and of the clipped
row itself. So what is computed again to the same bits is the same release; and two different answers never have the
same noise, because their difference would then be bare.
"""

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ....cache.format.document import digest
from ....cache.format.privacy import Release
from ....cache.spec import PrivateSpec, SignalSpec
from ...errors import StageError
from ..inputs.batch import PreparedBatch
from ..signals.signal_schema import Heard
from .accountant import accountant_name, epsilon
from .noise import clip_rows, secret_normals

if TYPE_CHECKING:
    from ..job import CacheJob


def private_signals(signals: Mapping[str, SignalSpec]) -> dict[str, PrivateSpec]:
    """The signals that are clipped and noised, with how."""
    return {name: spec.private for name, spec in signals.items() if spec.private is not None}


def veiled_identity(identity: Mapping[str, Any], private: Mapping[str, PrivateSpec], key: bytes) -> dict[str, Any]:
    """A teacher's part of the fingerprint without what its private data decide: a hash of its weights would confirm any
    guess at them. Only the holder of the key can tell that it is this teacher."""
    text = json.dumps(identity, sort_keys=True).encode()
    settings = {name: spec.model_dump() for name, spec in private.items()}
    return {"private": settings, "keyed": hmac.new(key, text, sha256).hexdigest()}


def release_of(job: "CacheJob") -> Release | None:
    """What a job releases, over all rows of its source; None where nothing is private. Raises StageError without the
    accountant."""
    private = private_signals(job.signals)
    if not private:
        return None
    rows = sum(len(job.source.open(shard)) for shard in job.source.shards()) * job.policy.count
    delta = next(iter(private.values())).delta
    spent = epsilon([spec.noise for spec in private.values()], rows, delta)
    signals = {name: {"clip": spec.clip, "noise": spec.noise} for name, spec in private.items()}
    return Release(digest(job.fingerprint), signals, rows, delta, spent, accountant_name())


@dataclass(frozen=True, slots=True)
class Noiser:
    """Clips and noises what was heard of a prepared batch. `context` is the digest of the job's fingerprint."""

    key: bytes
    context: str
    private: Mapping[str, PrivateSpec]
    first_view: int

    def __call__(self, prepared: PreparedBatch, heard: Mapping[str, Heard]) -> dict[str, Heard]:
        """The same signals as they may be kept, float32 (n, d). Raises StageError for rows that are no vectors."""
        return {
            name: self._noised(name, self.private[name], prepared, values) if name in self.private else values
            for name, values in heard.items()
        }

    def _noised(self, name: str, spec: PrivateSpec, prepared: PreparedBatch, values: Heard) -> torch.Tensor:
        if not isinstance(values, torch.Tensor) or values.ndim != 2:
            raise StageError(
                f"cache.signals.{name}.private: noise is for signals of one vector a row, such as logits or an "
                "embedding; reduce this one, or leave it out"
            )
        rows = clip_rows(values.detach().cpu().double().numpy(), spec.clip)
        normals = secret_normals(self.key, self._seeds(name, prepared, rows), rows.shape[1])
        return torch.from_numpy((rows + spec.noise * spec.clip * normals).astype(np.float32)).to(values.device)

    def _seeds(self, name: str, prepared: PreparedBatch, rows: np.ndarray) -> list[bytes]:
        """One for each row: the context at a fixed length, the view, the row at its fixed length, and the id."""
        context = sha256(f"{self.context}\0{name}".encode()).digest()
        views = len(rows) // max(1, len(prepared.ids))
        numbers = [number.to_bytes(8, "little") for number in range(self.first_view, self.first_view + views)]
        ids = [str(sample).encode() for sample in prepared.ids.tolist()]
        places = ((sample, number) for sample in ids for number in numbers)
        return [context + number + row.tobytes() + sample for (sample, number), row in zip(places, rows, strict=True)]


def noiser_of(job: "CacheJob") -> Noiser | None:
    """What noises the signals of a job; None where nothing is private."""
    private = private_signals(job.signals)
    return Noiser(job.secret_key, digest(job.fingerprint), private, job.policy.first) if private else None
