"""The settings of successive halving, as they stand in the YAML."""

from itertools import pairwise
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class HalvingSpec(BaseModel):
    """At each rung the weaker trials of a sweep stop, so that the steps go to those that do well."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rungs: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(min_length=1, description="shares of the steps")
    keep: float = Field(0.5, gt=0, lt=1, description="share of a sweep's students that go on")
    by: str = Field("loss", description="loss, or a term as history.jsonl names it; less is better")

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if any(first >= second for first, second in pairwise(self.rungs)):
            raise ValueError("rungs: each is above the one before")
        return self
