"""Numbers that change while a phase trains: weights, temperatures, a curriculum's share. Pure functions of the step.

Nothing here keeps a state, so a trial that continues cannot get it wrong.
"""

from math import cos, pi
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

_STRICT = ConfigDict(extra="forbid", frozen=True)


class Ramp(BaseModel):
    """From `first` to `last` over `over` steps, `after` steps into the phase; before and behind it stays."""

    model_config = _STRICT

    shape: Literal["linear", "cosine"]
    first: float
    last: float
    after: int = Field(0, ge=0, description="steps of the phase before it begins")
    over: int | None = Field(None, gt=0, description="steps that it takes; to the phase's end when left out")


class Stairs(BaseModel):
    """values[i] from step at[i] of the phase on: {at: [0, 300], values: [1.0, 0.5]} is 1 for 300 steps, then a half."""

    model_config = _STRICT

    shape: Literal["steps"]
    at: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)
    values: tuple[float, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _begins(self) -> "Stairs":
        if len(self.at) != len(self.values) or self.at[0] != 0 or list(self.at) != sorted(set(self.at)):
            raise ValueError(f"at begins with 0, rises, and has one value each, not {self.at} for {self.values}")
        return self


Scheduled = Annotated[Ramp | Stairs, Field(discriminator="shape")]
Number = float | Scheduled


def value_at(number: Number, step: int, steps: int) -> float:
    """The number at step `step` (0 is the first) of a phase of `steps` steps."""
    if isinstance(number, Ramp):
        return _ramp(number, step, steps)
    if isinstance(number, Stairs):
        return next(value for at, value in reversed(list(zip(number.at, number.values, strict=True))) if at <= step)
    return number


def extremes(number: Number) -> tuple[float, float]:
    """The least and the largest value that it ever has."""
    if isinstance(number, Ramp):
        return min(number.first, number.last), max(number.first, number.last)
    if isinstance(number, Stairs):
        return min(number.values), max(number.values)
    return number, number


def _ramp(ramp: Ramp, step: int, steps: int) -> float:
    over = ramp.over if ramp.over is not None else max(1, steps - 1 - ramp.after)
    done = min(1.0, max(0.0, (step - ramp.after) / over))
    share = done if ramp.shape == "linear" else 0.5 * (1 - cos(pi * done))
    return ramp.first + (ramp.last - ramp.first) * share
