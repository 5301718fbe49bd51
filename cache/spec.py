"""The settings of a cache, as they stand in the YAML."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

_STRICT = ConfigDict(extra="forbid", frozen=True)

CODEC_FIELDS: dict[str, tuple[str, ...]] = {  # fields of a signal's settings that its codec takes
    "topk": ("k", "temperatures"),
    "pps": ("k", "temperatures", "sample_temperature"),
    "sampling": ("draws", "sample_temperature"),
    "head": ("keep",),
    "u8affine": ("scale",),
    "factored": ("keep",),
    "pca": ("dimensions", "keep"),
}


_SIGNED_VECTORS = ("f32", "f16", "bf16", "int8", "u8affine", "topk", "pps", "sampling")  # what noised rows fit


class PrivateSpec(BaseModel):
    """A signal that is clipped and noised before it is kept: a client's, in federated distillation."""

    model_config = _STRICT

    clip: float = Field(gt=0, allow_inf_nan=False, description="longest L2 norm of a row; longer ones are scaled down")
    noise: float = Field(
        ge=0.001, allow_inf_nan=False, description="standard deviation of the Gaussian noise on each value, over clip"
    )
    delta: float = Field(gt=0, lt=1, description="the delta at which epsilon is stated")


class SignalSpec(BaseModel):
    """One signal to keep: which capture point it is heard at, how it is reduced, and which codec keeps it."""

    model_config = _STRICT

    point: str | None = Field(None, description="capture point; the signal's own name when left out")
    codec: Literal[
        "f32", "f16", "bf16", "int8", "u8affine", "u8sqrt", "factored", "pca", "topk", "pps", "sampling", "head"
    ] = Field("f16", description="how the values are kept")
    reduce: Literal["none", "head-mean", "cls-row", "cls", "mean", "last"] = Field(
        "none",
        description="head-mean and cls-row reduce an attention; cls, mean and last reduce a hidden state's tokens",
    )
    causal: bool = Field(False, description="causal attention maps: only the lower triangle is kept")
    scale: Literal["f32", "f16"] = Field("f32", description="u8affine only: how scale and offset of a vector are kept")
    keep: Literal["f16", "int8"] = Field(
        "f16", description="factored: how queries and keys are kept; pca: the coefficients; head: what enters the head"
    )
    dimensions: int | None = Field(None, gt=0, description="pca only: coefficients kept of each vector")
    k: int | None = Field(None, gt=0, description="topk and pps: entries kept per row")
    temperatures: tuple[float, ...] = Field(
        (1.0, 2.0, 4.0), description="topk and pps: temperatures at which a loss may read the signal"
    )
    draws: int | None = Field(None, gt=0, le=255, description="sampling only: classes drawn per row, with replacement")
    sample_temperature: float = Field(
        1.0, gt=0, description="pps and sampling: temperature of the softmax that is drawn from"
    )
    compress: Literal["none", "zstd"] = Field("none", description="zstd takes less room and is slower to read")
    private: PrivateSpec | None = Field(None, description="clip each row and add noise before it is kept")

    @model_validator(mode="after")
    def _noise_makes_sense(self) -> Self:
        if self.private is None:
            return self
        if self.codec not in _SIGNED_VECTORS:
            raise ValueError(f"private is for codecs {', '.join(_SIGNED_VECTORS)}; {self.codec} keeps something else")
        if self.causal or self.reduce in ("head-mean", "cls-row"):
            raise ValueError("private is for one vector a row, such as logits or an embedding, not for attention")
        return self

    @model_validator(mode="after")
    def _refuse_what_the_codec_does_not_take(self) -> Self:
        for field in sorted({field for fields in CODEC_FIELDS.values() for field in fields}):
            given = getattr(self, field) != type(self).model_fields[field].default
            if given and field not in CODEC_FIELDS.get(self.codec, ()):
                takers = [codec for codec, fields in CODEC_FIELDS.items() if field in fields]
                raise ValueError(f"codec {self.codec} takes no {field}, only {', '.join(takers)} does")
        return self


class CacheSpec(BaseModel):
    """Where the cache is and what it keeps."""

    model_config = _STRICT

    path: str | None = Field(
        None, description="the cache's folder, or an address such as s3://bucket/prefix; <output>/cache when left out"
    )
    given: bool = Field(
        False, description="the training cache was made by a verb, such as merge: it is read, and never built"
    )
    block: int = Field(256, gt=0, description="rows that are read together")
    signals: dict[str, SignalSpec] = Field(min_length=1, description="what to keep, by signal name")

    @property
    def private(self) -> bool:
        """Whether what is kept is clipped and noised."""
        return any(spec.private is not None for spec in self.signals.values())

    @model_validator(mode="after")
    def _private_as_a_whole(self) -> Self:
        if not self.private:
            return self
        bare = next((name for name, spec in self.signals.items() if spec.private is None), None)
        if bare is not None:
            raise ValueError(f"signals.{bare}: it would be kept bare beside signals that are private: noise it as well")
        if len({spec.private.delta for spec in self.signals.values() if spec.private is not None}) > 1:
            raise ValueError("signals: private signals have one delta, because one epsilon is stated for all of them")
        if self.given:
            raise ValueError("given: this cache is there, and has its noise: leave out private")
        return self
