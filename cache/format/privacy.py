"""What a manifest says of rows that were clipped and noised before they were kept: for people, and proven by nobody."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any


@dataclass(frozen=True, slots=True)
class Release:
    """One client's release. `signals` maps each to its `clip` (L2 norm) and `noise` (standard deviation / clip);
    `rows` were accounted for; `epsilon` holds at `delta`, as `accountant` has computed; `id` is the digest of the
    fingerprint that the rows were made under, so that a merge counts a release once."""

    id: str
    signals: Mapping[str, Mapping[str, float]]
    rows: int
    delta: float
    epsilon: float
    accountant: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        each = (f"{name} clipped to {one['clip']:g} with noise {one['noise']:g}" for name, one in self.signals.items())
        return (
            f"{', '.join(each)}; {self.rows:,} rows: epsilon {self.epsilon:,.4g} at delta {self.delta:g} "
            f"({self.accountant})"
        )


def read_release(content: Any) -> Release:
    """A release from its JSON. Raises KeyError, TypeError or ValueError for anything that is none."""
    signals = {
        str(name): {"clip": float(one["clip"]), "noise": float(one["noise"])}
        for name, one in dict(content["signals"]).items()
    }
    rows, delta, epsilon = content["rows"], float(content["delta"]), float(content["epsilon"])
    if not isinstance(rows, int) or rows < 0 or not isfinite(delta):
        raise ValueError("privacy: rows or delta is impossible")
    return Release(str(content["id"]), signals, rows, delta, epsilon, str(content["accountant"]))


def together(releases: Iterable[tuple[Release, ...]]) -> tuple[Release, ...]:
    """Those of several caches, each once."""
    return tuple({one.id: one for many in releases for one in many}.values())
