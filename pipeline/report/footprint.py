"""What a model costs to run: size, latency and memory, whatever it was trained from."""

from collections.abc import Sequence
from dataclasses import dataclass

from .collect import Report
from .evaluation import Latency
from .results import ArmResult, mean_latency


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a model costs to run: parameters, weights, latency by batch size, peak memory; means over its trials."""

    name: str
    parameters: int | None
    without_embeddings: int | None
    reduction: float | None
    bytes: int | None
    latency: dict[str, Latency]
    peak_memory_mb: float | None


def footprints(report: Report) -> list[Footprint]:
    """The teacher, then each student; its arms are the same model, so all of their measurements count."""
    whole = report.teacher.evaluation
    size = whole.parameters
    teacher = Footprint(
        "teacher", size.total, size.without_embeddings, None, whole.bytes, dict(whole.latency), whole.peak_memory_mb
    )
    return [teacher, *(_footprint(name, report.arms(name)) for name in report.names)]


def _footprint(name: str, arms: Sequence[ArmResult]) -> Footprint:
    first = arms[0]
    batches = [batch for batch in first.latency if all(batch in one.latency for one in arms)]
    peaks = [one.peak_memory_mb for one in arms if one.peak_memory_mb is not None]
    return Footprint(
        name,
        first.parameters.total,
        first.parameters.without_embeddings,
        first.reduction,
        first.bytes,
        {batch: mean_latency([one.latency[batch] for one in arms]) for batch in batches},
        max(peaks, default=None),
    )


def measured_batches(footprints: Sequence[Footprint]) -> list[str]:
    """The batch sizes at which some model was measured, smallest first."""
    return sorted({batch for one in footprints for batch in one.latency}, key=int)
