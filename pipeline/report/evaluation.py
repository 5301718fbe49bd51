"""What `teachercache evaluate` left for one model: evaluation.json and predictions.npz, checked as they are read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from .errors import ReportError

EVALUATION_FILE = "evaluation.json"
PREDICTIONS_FILE = "predictions.npz"
METRICS = ("top1", "top5", "nll", "ece", "agreement", "kl")


@dataclass(frozen=True, slots=True)
class ClassAccuracy:
    """`name` is the class; `top1` a fraction, None for a class without samples."""

    name: str
    samples: int
    top1: float | None


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Mean confidence, accuracy and share of the samples in one of 15 bins of equal width; fractions."""

    confidence: float
    accuracy: float
    share: float


@dataclass(frozen=True, slots=True)
class Parameters:
    """Numbers in a model, all and without embeddings; None where a teacher could not be loaded to count them."""

    total: int | None
    without_embeddings: int | None


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of one forward pass, and samples a second."""

    p50_ms: float
    p95_ms: float
    samples_per_second: float


@dataclass(frozen=True, slots=True)
class Breakdown:
    """A figure by the values of a field: `rows` as (value, samples, share)."""

    figure: str
    by: str
    rows: tuple[tuple[str, int, float], ...]


@dataclass(frozen=True, slots=True)
class SetEvaluation:
    """One model on another held-out set."""

    samples: int
    metrics: dict[str, float]
    breakdowns: tuple[Breakdown, ...] = ()


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One model on the held-out samples. Rates are fractions, `bytes` are those of its weights.

    `held_out` is the digest of the cache that it was compared with; `unmeasured` says why a teacher's latency is not
    known.
    """

    samples: int
    metrics: dict[str, float]
    parameters: Parameters
    bytes: int | None
    latency: dict[str, Latency]
    peak_memory_mb: float | None
    machine: dict[str, Any]
    held_out: str | None = None
    unmeasured: str | None = None
    per_class: tuple[ClassAccuracy, ...] = ()
    reliability: tuple[ReliabilityBin, ...] = ()
    breakdowns: tuple[Breakdown, ...] = ()
    sets: dict[str, SetEvaluation] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Predictions:
    """`ids` (n,) str, `labels` (n,) int64, `top` (n, k) class numbers, likeliest first, `probability` (n, k)."""

    ids: np.ndarray
    labels: np.ndarray
    top: np.ndarray
    probability: np.ndarray


def read_evaluation(folder: Path, held_out: str, others: Mapping[str, str] | None = None) -> Evaluation | None:
    """The evaluation in a folder, None when there is none.

    Raises ReportError for a file that cannot be believed, or that was made from another held-out cache than the one
    with the digest `held_out`, or than those of the other sets by name.
    """
    path = folder / EVALUATION_FILE
    content = read_json(path)
    if content is None:
        return None
    named = [{**item, "name": str(item.get("class"))} for item in _dicts(content.get("per_class"))]
    made_from = content.get("fingerprint")
    cache = made_from.get("held_out") if isinstance(made_from, dict) else None
    sets = content["sets"] if isinstance(content.get("sets"), dict) else {}
    found = {name: one.get("held_out") for name, one in sets.items() if isinstance(one, dict)}
    if cache not in (None, held_out) or any(found.get(name) != digest for name, digest in (others or {}).items()):
        raise ReportError(
            f"{path} was made from another held-out cache; run `teachercache evaluate`, then report again"
        )
    derived = {"per_class": named, "held_out": cache, **_measured(content)}
    derived["sets"] = {name: {"samples": one.get("samples"), **_measured(one)} for name, one in sets.items()}
    try:
        return TypeAdapter(Evaluation).validate_python({**content, **derived})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ReportError(f"{path}: {where}: {first['msg']}; remove it and run `teachercache evaluate`") from error


def read_predictions(folder: Path) -> Predictions | None:
    """The predictions in a folder, None when there are none. Raises ReportError when they cannot be read."""
    path = folder / PREDICTIONS_FILE
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            return Predictions(stored["ids"], stored["labels"], stored["top3"], stored["top3_probability"])
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise ReportError(f"{path} cannot be read ({error}); remove it and run `teachercache evaluate`") from error


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object, None when there is no file. Raises ReportError when it is no JSON object."""
    try:
        content = TypeAdapter(dict[str, Any]).validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise ReportError(f"{path} cannot be read as JSON; remove it and run the stage that writes it again") from error
    return content


def _measured(content: Mapping[str, Any]) -> dict[str, Any]:
    """Figures whose value is known, and breakdowns; of an evaluation from before figures had kinds, those it has."""
    if isinstance(content.get("figures"), dict):
        values = {name: one.get("value") for name, one in content["figures"].items() if isinstance(one, dict)}
    else:
        values = {name: content.get(name) for name in METRICS}
    rows = [
        {**one, "rows": [(row.get("value"), row.get("samples"), row.get("share")) for row in _dicts(one.get("rows"))]}
        for one in _dicts(content.get("breakdowns"))
    ]
    return {"metrics": {name: value for name, value in values.items() if value is not None}, "breakdowns": rows}


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
