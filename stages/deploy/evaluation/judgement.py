"""What one model is worth on every held-out set, as JSON: made of the columns that its metrics kept."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..metrics.kinds import Context, measured_of, said_in_numbers
from ..metrics.measured import Columns, Measured
from ..metrics.metric_spec import ClassificationSpec, MetricSpec
from .held_out import HeldOut
from .held_out_sets import HeldOutSets
from .predictions import Predictions


@dataclass(frozen=True, slots=True)
class Said:
    """What a model said: {set: {number of the metric: columns}}, and the columns of prompts by their set. A metric that
    the model is not judged by has none."""

    sets: Mapping[str, Mapping[int, Columns]]
    prompts: Mapping[str, Columns] = field(default_factory=dict)

    @property
    def finite(self) -> bool:
        """Whether all of it is made of numbers."""
        kept = [*(one for found in self.sets.values() for one in found.values()), *self.prompts.values()]
        return all(map(said_in_numbers, kept))

    def predictions(self, held_out: HeldOutSets) -> Predictions | None:
        """What it predicts on the main set: of the first classification by class numbers, if there is one."""
        found = self.sets[held_out.main.name]
        for number, metric in enumerate(held_out.metrics):
            if isinstance(metric, ClassificationSpec) and metric.label is None and number in found:
                return Predictions(**found[number])
        return None


def judgement(said: Said, held_out: HeldOutSets) -> dict[str, Any]:
    """All figures of a model: those of the main set, and under `sets` those of the others.

    A classification without a name also stands at the top, as `top1`, `per_class` and so on.
    """
    first, *others = held_out.sets
    found = {name: _of_set(said, held_out.sets[name], said.sets[name]) for name in held_out.sets}
    content = {"samples": len(held_out.main), **_plain(held_out.metrics, found[first]), "set": first}
    content |= _figures(held_out.metrics, found[first])
    sets = {name: _set(held_out.sets[name], found[name]) for name in others}
    return {**content, **({"sets": sets} if sets else {})}


def _of_set(said: Said, held_out: HeldOut, found: Mapping[int, Columns]) -> dict[int, Measured]:
    context = Context(held_out.class_names, said.prompts)
    return {number: measured_of(held_out.metrics[number], columns, context) for number, columns in found.items()}


def _set(held_out: HeldOut, found: Mapping[int, Measured]) -> dict[str, Any]:
    figures = _figures(held_out.metrics, found)
    return {"samples": len(held_out), **figures, "held_out": held_out.cache.manifest.digest}


def _plain(metrics: Sequence[MetricSpec], found: Mapping[int, Measured]) -> dict[str, Any]:
    for number, measured in found.items():
        metric = metrics[number]
        if isinstance(metric, ClassificationSpec) and metric.name is None:
            return {**measured.values, **measured.details}
    return {}


def _figures(metrics: Sequence[MetricSpec], found: Mapping[int, Measured]) -> dict[str, Any]:
    """`figures` by name with what they are, and `breakdowns` of them by a field's values."""
    figures = {
        key: {"value": measured.values[key], **asdict(kind)}
        for number, measured in found.items()
        for key, kind in metrics[number].figures.items()
    }
    breakdowns = [one.details["breakdown"] for one in found.values() if "breakdown" in one.details]
    return {"figures": figures, **({"breakdowns": breakdowns} if breakdowns else {})}
