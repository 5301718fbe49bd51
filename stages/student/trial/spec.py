"""The settings of a trial's course: its phases, which rows they take, and what trains in them."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..objective.spec import Names, SampleWeightSpec, TermSpec
from ..schedule import Number, extremes

_STRICT = ConfigDict(extra="forbid", frozen=True)


class SelectSpec(BaseModel):
    """The share of the samples that is trained on, ranked by what the teacher said of each; all views of a sample go
    together. A share that changes is a curriculum."""

    model_config = _STRICT

    by: Literal["entropy", "margin", "agreement", "random"] = Field(
        description="as for sample_weight: what the teacher said of the plain view; or a draw: the control"
    )
    signals: Names | None = Field(None, description="logits that it is computed from; none for random")
    favour: Literal["sure", "unsure"] = Field("sure", description="which samples come first")
    temperature: float = Field(1.0, gt=0, description="of the teachers' softmax")
    share: Number = Field(0.5, description="of the samples, 0 to 1; with a schedule it is a curriculum")

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        least, most = extremes(self.share)
        if least <= 0 or most > 1:
            raise ValueError(f"share is above 0 and at most 1, not {least:g} to {most:g}")
        if (self.by == "random") != (self.signals is None):
            raise ValueError("entropy, margin and agreement need signals of logits, random takes none")
        return self

    @property
    def measure(self) -> SampleWeightSpec:
        """The same as a measure of rows, surest first."""
        assert self.by != "random"
        return SampleWeightSpec(by=self.by, signals=self.signals, temperature=self.temperature)


class PhaseSpec(BaseModel):
    """A part of a student's training: its objective, how long it lasts, which parameters train."""

    model_config = _STRICT

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    share: float = Field(gt=0, le=1, description="of train.steps; the shares of all phases sum to 1")
    objective: tuple[TermSpec, ...] = Field(min_length=1)
    lr: float | None = Field(None, gt=0, description="peak of the learning rate; the optimizer's when left out")
    warmup: float | None = Field(None, ge=0, le=1, description="share of the phase's steps; or the optimizer's")
    trains: tuple[str, ...] = Field(
        ("*",), min_length=1, description="patterns of the parameters that train, such as vision.*; the rest is frozen"
    )
    balance: Literal["uncertainty", "gradient-norm"] | None = Field(
        None, description="weights of the terms that adapt, on top of those given; none: they stay as given"
    )
    select: SelectSpec | None = Field(None, description="a share of the samples, or a curriculum; none: all of them")
    fake_quantise: bool = Field(
        False, description="convolutional students: compute as if in int8, for an export that loses less"
    )
