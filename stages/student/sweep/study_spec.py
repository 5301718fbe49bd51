"""The settings of a study: a sweep that Optuna leads."""

from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

SamplerName = Literal["tpe", "random", "gp", "cmaes", "nsgaii", "qmc", "brute-force"]
PrunerName = Literal["median", "percentile", "halving", "hyperband", "threshold"]


class StudySpec(BaseModel):
    """Who chooses what is tried next, by what it is judged, and which trials are given up early."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sampler: SamplerName = Field("tpe", description="which sampler of Optuna chooses")
    sampler_args: dict[str, Any] = Field(default_factory=dict, description="its arguments, but for the seed")
    pruner: PrunerName | None = Field(None, description="which pruner of Optuna gives trials up; none: no one does")
    pruner_args: dict[str, Any] = Field(default_factory=dict, description="its arguments")
    rungs: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (), description="shares of the steps at which the pruner is asked"
    )
    by: str = Field("loss", description="loss, or a term as history.jsonl names it; less is better")
    together: int = Field(4, gt=0, description="trials that are chosen, and trained, at a time")

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if (self.pruner is None) != (not self.rungs):
            raise ValueError("a pruner needs rungs, shares of the steps at which it is asked, and rungs a pruner")
        if any(first >= second for first, second in pairwise(self.rungs)):
            raise ValueError("rungs: each is above the one before")
        if "seed" in self.sampler_args:
            raise ValueError("sampler_args.seed: this is the sweep's `seed`")
        return self
