"""A concept and its threshold. A score is a cosine of a picture against texts of the concept, less its cosine against
texts of what it is not: never a softmax over banned words, which flags the least harmless of harmless pictures.

The threshold is fitted on labelled examples: the lowest at which the share of negatives at or above it is at most the
stated rate. The review band begins lower, where twice or any stated multiple of that rate would be flagged.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from ....errors import StageError

Verdict = Literal["flag", "review", "pass"]


@dataclass(frozen=True, slots=True)
class Concept:
    """`texts` describe it, `others` what it is not."""

    name: str
    texts: tuple[str, ...]
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fitted:
    """`flag` and `review` are scores, `review` <= `flag`; `rate` is the false-positive rate asked for; the rest was
    counted on the examples at `flag`: false positives among `negatives`, and of `positives` the share found, and
    `precision` None where nothing was flagged."""

    flag: float
    review: float
    rate: float
    negatives: int
    positives: int
    false_positives: int
    recall: float
    precision: float | None

    def verdict(self, score: float) -> Verdict:
        """What becomes of a picture with this score."""
        return "flag" if score >= self.flag else "review" if score >= self.review else "pass"

    def document(self) -> dict[str, Any]:
        """As it stands in JSON."""
        return asdict(self)

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "Fitted":
        """What `document` gave."""
        return cls(**content)


def fit_threshold(name: str, scores: np.ndarray, positive: np.ndarray, rate: float, band: float) -> Fitted:
    """Fit on scores (n,) and whether each example shows the concept, bool (n,).

    Raises StageError for too few examples: a rate of 1 % needs a hundred negatives to be seen at all.
    """
    negatives, positives = scores[~positive], scores[positive]
    fewest = int(np.ceil(1 / rate))
    if len(negatives) < fewest or len(positives) < 1:
        raise StageError(
            f"concept {name!r}: {len(positives)} examples show it and {len(negatives)} do not; a false-positive rate "
            f"of {rate:g} needs 1 and {fewest} at least: label more, or ask for a higher rate"
        )
    flag = _lowest(negatives, rate)
    review = min(flag, _lowest(negatives, min(1.0, rate * band)))
    wrong, right = int((negatives >= flag).sum()), int((positives >= flag).sum())
    precision = right / (right + wrong) if right + wrong else None
    return Fitted(flag, review, rate, len(negatives), len(positives), wrong, right / len(positives), precision)


def _lowest(negatives: np.ndarray, rate: float) -> float:
    """The lowest threshold that at most this share of negatives reaches: just above the first that must stay below."""
    allowed = int(np.floor(rate * len(negatives)))
    ordered = np.sort(negatives)[::-1].astype(np.float64)
    return float(np.nextafter(ordered[allowed], np.inf)) if allowed < len(ordered) else float(ordered[-1])
