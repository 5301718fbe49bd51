"""What int8 costs on real rows: how often it says the same as its float parent, and what that does to accuracy.

Of classes, the same answer is the same largest logit; of two towers, the same nearest text for an image, among the
texts of the judged rows; of anything else there is no answer to compare, and the mean cosine of the outputs stands
alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...errors import StageFailed
from ..export.check import Run
from ..export.rows import RealRows

_BATCH = 64


@dataclass(frozen=True, slots=True)
class Drift:
    """`agreement` share of rows with the same answer, `drift_points` accuracy of int8 minus that of float in points
    (None without labels), `cosine` the least mean cosine of an output with the float one, over `rows`."""

    rows: int
    agreement: float | None
    drift_points: float | None
    cosine: float


def judge(parents: Mapping[str, Run], children: Mapping[str, Run], rows: RealRows) -> Drift:
    """Both run over `rows`, graph by graph."""
    float_said, int8_said = _said(parents, rows), _said(children, rows)
    cosine = min(_cosine(int8_said[name], values) for name, values in float_said.items())
    if "logits" in float_said and float_said["logits"].ndim == 2:
        first, second = (said["logits"].argmax(1) for said in (float_said, int8_said))
        return Drift(len(rows), float((first == second).mean()), _points(first, second, rows.labels), cosine)
    if set(float_said) == {"image_embeds", "text_embeds"}:
        first, second = (_nearest(said) for said in (float_said, int8_said))
        own = np.arange(len(rows), dtype=np.int64)
        return Drift(len(rows), float((first == second).mean()), _points(first, second, own), cosine)
    return Drift(len(rows), None, None, cosine)


def require_agreement(drift: Drift, least: float, what: str) -> None:
    """Raise StageFailed for int8 that says too often something else than its parent."""
    found = drift.agreement if drift.agreement is not None else drift.cosine
    if found < least:
        how = "agrees with its float parent on" if drift.agreement is not None else "has with its parent a cosine of"
        raise StageFailed(
            f"{what}: int8 {how} {found:.3f} of {drift.rows} rows, and {least} is the least; nothing was written. Try "
            "another --way, export it in float32, or lower --agreement"
        )


def _said(graphs: Mapping[str, Run], rows: RealRows) -> dict[str, np.ndarray]:
    found: dict[str, list[np.ndarray]] = {}
    for graph in graphs.values():
        for batch in rows.batches(_BATCH):
            for name, values in graph(batch).items():
                found.setdefault(name, []).append(values)
    return {name: np.concatenate(pieces) for name, pieces in found.items()}


def _nearest(said: Mapping[str, np.ndarray]) -> np.ndarray:
    images, texts = (said[name] / np.linalg.norm(said[name], axis=1, keepdims=True) for name in sorted(said))
    nearest: np.ndarray = (images @ texts.T).argmax(1)
    return nearest


def _points(first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> float | None:
    known = labels >= 0
    if not known.any():
        return None
    return float(((second == labels)[known].mean() - (first == labels)[known].mean()) * 100)


def _cosine(found: np.ndarray, wanted: np.ndarray) -> float:
    a, b = (values.reshape(len(values), -1).astype(np.float64) for values in (found, wanted))
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a * b).sum(1) / np.maximum(norms, 1e-12)).mean())
