"""The settings of evaluation, as they stand in the YAML."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from ...data.spec import SourceSpec


class EvaluateSpec(BaseModel):
    """Held-out samples, and what is measured on them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: SourceSpec = Field(description="samples that no student has trained on")
    batch_size: int = Field(256, gt=0, description="samples that all students are given at once")
    latency_batches: tuple[Annotated[int, Field(gt=0)], ...] = Field(
        (1, 32), min_length=1, description="batch sizes whose latency is measured"
    )
    latency_runs: int = Field(50, gt=4, description="timed passes per batch size; fewer when they take over 5 seconds")
