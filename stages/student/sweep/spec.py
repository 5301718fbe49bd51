"""The settings of a sweep, as they stand in the YAML."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .study_spec import StudySpec

_STRICT = ConfigDict(extra="forbid", frozen=True)


class RangeSpec(BaseModel):
    """Numbers from `low` to `high`, drawn evenly or, with `log`, evenly in their logarithm."""

    model_config = _STRICT

    low: float
    high: float
    log: bool = Field(False, description="evenly in the logarithm: as many from 0.001 to 0.01 as from 0.01 to 0.1")
    integer: bool = Field(False, description="whole numbers, both ends among them")

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low is below high, not {self.low:g} to {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"log: low is above 0, not {self.low:g}")
        if self.integer and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError(f"integer: low and high are whole numbers, not {self.low:g} and {self.high:g}")
        return self


class SweepSpec(BaseModel):
    """What is tried of a student: each combination of the values (grid), or as many as are asked for, drawn (random) or
    chosen by what came of those before (optuna)."""

    model_config = _STRICT

    kind: Literal["grid", "random", "optuna"] = Field(
        "grid", description="every combination, `trials` that are drawn, or `trials` that Optuna chooses"
    )
    parameters: dict[str, tuple[Any, ...] | RangeSpec] = Field(
        min_length=1, description="what is tried of each setting, by its dotted path within the student"
    )
    trials: int | None = Field(None, gt=0, le=1000, description="random and optuna: how many")
    seed: int = Field(0, ge=0, description="random and optuna: another seed draws others")
    study: StudySpec | None = Field(None, description="optuna only: its sampler, its pruner, what it goes by")

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        empty = next((path for path, values in self.parameters.items() if values == ()), None)
        if empty is not None:
            raise ValueError(f"parameters.{empty}: the list is empty")
        if self.kind == "grid" and self.trials is not None:
            raise ValueError("trials: a grid is all combinations, and takes none; kind: random or optuna takes trials")
        if self.kind != "grid" and self.trials is None:
            raise ValueError(f"kind: {self.kind} needs trials, how many there are")
        if self.kind != "optuna" and self.study is not None:
            raise ValueError(f"study: this is for kind: optuna, not {self.kind}")
        ranged = next((path for path, values in self.parameters.items() if isinstance(values, RangeSpec)), None)
        if self.kind == "grid" and ranged is not None:
            raise ValueError(f"parameters.{ranged}: a grid takes a list; a range is for kind: random and optuna")
        return self

    @property
    def led(self) -> StudySpec:
        """How Optuna leads it."""
        return self.study or StudySpec()
