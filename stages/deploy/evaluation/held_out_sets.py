"""The held-out sets of a run, and the prompts that zero-shot metrics read: all that a model is judged on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..metrics.metric_spec import MetricSpec, ZeroShotSpec
from .held_out import HeldOut


@dataclass(frozen=True, slots=True)
class HeldOutSets:
    """`sets` by name, the main one first; `prompts` by name, whose samples are texts of classes."""

    sets: Mapping[str, HeldOut]
    prompts: Mapping[str, HeldOut] = field(default_factory=dict)

    @classmethod
    def of(cls, *sets: HeldOut) -> "HeldOutSets":
        """Sets under their own names, without prompts."""
        return cls({one.name: one for one in sets})

    @property
    def main(self) -> HeldOut:
        """The set that the verdict is of."""
        return next(iter(self.sets.values()))

    @property
    def metrics(self) -> tuple[MetricSpec, ...]:
        """What is measured, on every set."""
        return self.main.metrics

    def reading(self, prompts: str) -> ZeroShotSpec:
        """The metric that reads a set of prompts."""
        return next(one for one in self.metrics if isinstance(one, ZeroShotSpec) and one.prompts == prompts)


def judged_signals(metrics: Sequence[MetricSpec], prompts: str | None = None) -> tuple[str, ...]:
    """The teacher's signals that a held-out set needs; for a set of prompts, those of their texts."""
    read = metrics if prompts is None else prompt_metrics(metrics, prompts)
    return tuple(dict.fromkeys(signal for one in read for signal in one.pairs.values() if signal is not None))


def judged_outputs(metrics: Sequence[MetricSpec]) -> tuple[str, ...]:
    """The outputs of a student that some metric reads."""
    return tuple(dict.fromkeys(output for one in metrics for output in one.pairs))


def prompt_metrics(metrics: Sequence[MetricSpec], prompts: str) -> list[ZeroShotSpec]:
    """The metrics that read a set of prompts, as that set must be read: its samples have texts and no images."""
    found = [one for one in metrics if isinstance(one, ZeroShotSpec) and one.prompts == prompts]
    return [one.model_copy(update={"image_signal": None}) for one in found]
