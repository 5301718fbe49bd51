"""The settings of a search for a student's shape, as they stand in the YAML."""

from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ...student.sweep.spec import RangeSpec

_STRICT = ConfigDict(extra="forbid", frozen=True)
Cost = Literal["parameters", "bytes", "macs", "latency_ms"]


class LimitsSpec(BaseModel):
    """What a student may cost at most; one that costs more is never trained."""

    model_config = _STRICT

    parameters: int | None = Field(None, gt=0, description="numbers that are learnt")
    bytes: int | None = Field(None, gt=0, description="of the saved weights")
    macs: int | None = Field(None, gt=0, description="multiply-accumulates of one row")
    latency_ms: float | None = Field(None, gt=0, description="median of a forward pass of one row on this machine")


class ArchitectureSpec(BaseModel):
    """Which shapes of a student are tried, and what they may cost: Optuna chooses, by figure and cost at once."""

    model_config = _STRICT

    student: str = Field(description="the student whose shape is searched for")
    parameters: dict[str, tuple[Any, ...] | RangeSpec] = Field(
        min_length=1, description="what is tried of each setting, by its dotted path within the student"
    )
    trials: int = Field(gt=0, le=1000, description="shapes that are chosen, those above a limit among them")
    together: int = Field(4, gt=0, description="shapes that are chosen, and trained on one read, at a time")
    cost: Cost = Field("parameters", description="what is weighed against the figure")
    limits: LimitsSpec = LimitsSpec()
    judged_on: str | None = Field(None, description="the held-out set that judges; left out: the main one")
    seeds: int = Field(1, gt=0, description="how many of train.seeds each shape is trained with")
    sampler: Literal["tpe", "nsgaii", "random"] = Field("tpe", description="which sampler of Optuna chooses")
    seed: int = Field(0, ge=0, description="another seed chooses others")
    rungs: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (), description="shares of the steps at which shapes stop that two cheaper ones do better than"
    )
    by: str = Field("loss", description="what rungs go by: loss, or a term as history.jsonl names it")

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        empty = next((path for path, values in self.parameters.items() if values == ()), None)
        if empty is not None:
            raise ValueError(f"parameters.{empty}: the list is empty")
        if any(first >= second for first, second in pairwise(self.rungs)):
            raise ValueError("rungs: each is above the one before")
        return self
