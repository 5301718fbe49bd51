"""The settings of pruning, as they stand in the YAML."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

What = Literal["channels", "heads", "mlp"]


class PruneSpec(BaseModel):
    """Whole channels, attention heads and MLP units go, a few at a time, with distillation in between and after."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    to: float = Field(gt=0, lt=1, description="share of the channels, heads or units of each layer that stays")
    steps: int = Field(4, gt=0, description="how many times some go; they are ranked anew each time")
    start: float = Field(0.2, gt=0, lt=1, description="share of train.steps after which the first go")
    end: float = Field(0.6, gt=0, lt=1, description="share of train.steps after which the last go")
    importance: Literal["taylor", "l2", "random"] = Field(
        "taylor", description="what stays: what the loss hangs on (weight times gradient), large weights, or a draw"
    )
    what: tuple[What, ...] | None = Field(
        None, min_length=1, description="left out: channels of a CNN; of transformers what the config can say"
    )
    multiple: int = Field(1, gt=0, description="what stays of each layer is a multiple of this, where it has as many")

    @model_validator(mode="after")
    def _ends_after_its_start(self) -> Self:
        if self.end < self.start or (self.steps > 1 and self.end == self.start):
            raise ValueError("start comes before end")
        return self
