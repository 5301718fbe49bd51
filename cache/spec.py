"""The settings of a cache, as they stand in the YAML."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

_STRICT = ConfigDict(extra="forbid", frozen=True)


class SignalSpec(BaseModel):
    """One signal to keep: which capture point it is heard at, how it is reduced, and which codec keeps it."""

    model_config = _STRICT

    point: str | None = Field(None, description="capture point; the signal's own name when left out")
    codec: Literal["f32", "f16", "int8", "u8sqrt", "topk", "pps", "sampling", "head"] = Field("f16", description="how the values are kept")
    reduce: Literal["none", "head-mean", "cls", "mean"] = Field(
        "none", description="head-mean averages an attention's heads; cls and mean reduce a hidden state's tokens"
    )
    k: int | None = Field(None, gt=0, description="topk and pps: entries kept per row")
    temperatures: tuple[float, ...] = Field(
        (1.0, 2.0, 4.0), description="topk and pps: temperatures at which a loss may read the signal"
    )
    draws: int | None = Field(None, gt=0, le=255, description="sampling only: classes drawn per row, with replacement")
    sample_temperature: float = Field(
        1.0, gt=0, description="pps and sampling: temperature of the softmax that is drawn from"
    )
    hidden: Literal["f16", "int8"] = Field("f16", description="head only: how the input of the head is kept")


class CacheSpec(BaseModel):
    """Where the cache is and what it keeps."""

    model_config = _STRICT

    path: str | None = Field(None, description="the cache's folder; <output>/cache when left out")
    block: int = Field(256, gt=0, description="rows that are read together")
    signals: dict[str, SignalSpec] = Field(min_length=1, description="what to keep, by signal name")
