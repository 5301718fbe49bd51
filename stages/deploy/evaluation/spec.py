"""The settings of evaluation, as they stand in the YAML."""

from collections import Counter
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ....data.spec import SourceSpec
from ..metrics.figure_kind import FigureKind
from ..metrics.metric_spec import ClassificationSpec, MetricSpec, ZeroShotSpec

ONLY_SET = "held-out"
_SetName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]


class EvaluateSpec(BaseModel):
    """Held-out samples, and what is measured on them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: SourceSpec | None = Field(None, description="samples that no student has trained on; or `sets`")
    sets: dict[_SetName, SourceSpec] = Field(
        default_factory=dict,
        description="several held-out sets by name instead of `source`, the main one first",
    )
    prompts: dict[_SetName, SourceSpec] = Field(
        default_factory=dict, description="texts of classes for zero-shot metrics, by name"
    )
    metrics: tuple[MetricSpec, ...] = Field((), description="what is measured; left out: classification by `logits`")
    primary: str | None = Field(None, description="the figure of the verdict; left out: the first metric's first one")
    ladder: bool | tuple[str, ...] = Field(
        False, description="students as rungs, the lowest first; true: all, in their order"
    )
    batch_size: int = Field(256, gt=0, description="samples that all students are given at once")
    latency_batches: tuple[Annotated[int, Field(gt=0)], ...] = Field(
        (1, 32), min_length=1, description="batch sizes whose latency is measured"
    )
    latency_runs: int = Field(50, gt=4, description="timed passes per batch size; fewer when they take over 5 seconds")

    @property
    def named_sets(self) -> dict[str, SourceSpec]:
        """The held-out sets by name, the main one first; `source` alone is called held-out."""
        return dict(self.sets) if self.source is None else {ONLY_SET: self.source}

    @property
    def chosen_metrics(self) -> tuple[MetricSpec, ...]:
        """The metrics, or classification where none is named."""
        return self.metrics or (ClassificationSpec(),)

    @property
    def figures(self) -> dict[str, FigureKind]:
        """Every figure by name, in the order of the metrics."""
        return {key: kind for metric in self.chosen_metrics for key, kind in metric.figures.items()}

    @property
    def primary_figure(self) -> str:
        """The figure of the verdict."""
        return self.primary or next(iter(self.figures))

    @model_validator(mode="after")
    def _sets_are_there(self) -> "EvaluateSpec":
        if (self.source is None) == (not self.sets):
            raise ValueError("give either source (one held-out set) or sets (several by name), and not both")
        shared = sorted(self.sets.keys() & self.prompts.keys())
        if shared:
            raise ValueError(f"prompts.{shared[0]} and sets.{shared[0]} have one name; give them two")
        return self

    @model_validator(mode="after")
    def _figures_differ(self) -> "EvaluateSpec":
        counted = Counter(key for metric in self.chosen_metrics for key in metric.figures)
        twice = next((key for key, count in counted.items() if count > 1), None)
        if twice is not None:
            raise ValueError(f"metrics: two of them have a figure {twice}; give one of them a name")
        if self.primary is not None and self.primary not in counted:
            raise ValueError(f"primary: no metric has a figure {self.primary!r}; there are {', '.join(counted)}")
        return self

    @model_validator(mode="after")
    def _teacher_is_judged(self) -> "EvaluateSpec":
        if not any(signal for metric in self.chosen_metrics for signal in metric.pairs.values()):
            raise ValueError("metrics: none of them names a signal, so the teacher cannot be judged; name one")
        return self

    @model_validator(mode="after")
    def _prompts_are_read_once(self) -> "EvaluateSpec":
        read = [one.prompts for one in self.chosen_metrics if isinstance(one, ZeroShotSpec) and one.prompts is not None]
        for name in dict.fromkeys([*read, *self.prompts]):
            if name not in self.prompts:
                raise ValueError(f"metrics: there is no set {name!r} under evaluate.prompts")
            if read.count(name) != 1:
                times = "no metric reads" if name not in read else "several metrics read"
                raise ValueError(f"prompts.{name}: {times} it; each set of prompts is for one zero-shot metric")
        return self
