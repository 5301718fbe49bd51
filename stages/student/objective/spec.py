"""One term of an objective as it stands in the YAML: a loss, its weight, and which outputs meet which targets."""

from collections.abc import Mapping
from math import inf
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..schedule import Ramp, Scheduled, Stairs, extremes, value_at

_STRICT = ConfigDict(extra="forbid", frozen=True)

Names = Annotated[tuple[str, ...], Field(min_length=1)]
LayerPair = tuple[int, int]


class SampleWeightSpec(BaseModel):
    """How much each row counts in a term, from what the teacher said of it; the weights of a batch have mean 1."""

    model_config = _STRICT

    by: Literal["entropy", "margin", "agreement"] = Field(
        description="entropy of the teacher, lead of its first class, or how far several teachers agree; all in 0 to 1"
    )
    signals: Names | None = Field(None, description="logits they are computed from; left out: the term's own")
    favour: Literal["sure", "unsure"] = Field("sure", description="which rows count more")
    temperature: float = Field(1.0, gt=0, description="of the teachers' softmax; sparse logits have 1 alone")


class VocabularySpec(BaseModel):
    """Two vocabularies that share strings: files vocab.json (token to id), or tokenizer.json of transformers."""

    model_config = _STRICT

    student: str = Field(description="the student's")
    teacher: str = Field(description="the teacher's")
    at_least: float = Field(0.5, gt=0, le=1, description="share of the student's tokens that the teacher must have too")
    rest: bool = Field(True, description="one bucket for all other tokens; false: the shared ones alone, renormalised")


class SchedulesSpec(BaseModel):
    """Numbers of a term that change while its phase trains."""

    model_config = _STRICT

    weight: Scheduled | None = None
    temperature: Scheduled | None = None
    label_smoothing: Scheduled | None = None
    alpha: Scheduled | None = None
    beta: Scheduled | None = None
    gamma: Scheduled | None = None
    t: Scheduled | None = None

    @property
    def set(self) -> dict[str, Ramp | Stairs]:
        """Those that are given, by name."""
        return {name: rule for name in type(self).model_fields if (rule := getattr(self, name)) is not None}


class TermSpec(BaseModel):
    """One term of the objective: loss, weight, and which student output meets which target."""

    model_config = _STRICT

    loss: Literal[
        "cross_entropy",
        "kl",
        "lskd",
        "dkd",
        "nkd",
        "dist",
        "multi_level",
        "reverse_kl",
        "jensen",
        "skewed_kl",
        "skewed_reverse_kl",
        "total_variation",
        "mse",
        "cosine",
        "clip_fd",
        "vkd",
        "hcl",
        "info_nce",
        "attention_kl",
        "attention_mse",
        "attention_transfer",
        "nst",
        "minilm",
        "rkd",
        "rkd_distance",
        "rkd_angle",
        "sp",
        "pkt",
        "ensemble_kl",
        "taid",
        "uld",
        "action_kl",
        "tinybert_prediction",
        "smooth_l1",
        "huber",
        "minilm_qkv",
        "srrl",
        "crd",
        "tinybert_layers",
        "review",
        "clip_contrastive",
        "siglip",
        "icl",
        "clip_affinity",
    ]
    weight: float = Field(1.0, ge=0)
    output: str = Field(
        "logits", description="student output: logits, embedding, hidden.N, attention.N, or the user's own"
    )
    outputs: Names | None = Field(None, description="instead of output, for losses that take several: image and text")
    signal: str | None = Field(None, description="cached signal; left out for losses that read labels or none")
    signals: Names | None = Field(None, description="instead of signal, for losses that take several")
    label: str | None = Field(
        None, description="numeric field of the source that is the target: whole numbers are classes, others regression"
    )
    target_output: str | None = Field(
        None, description="another output of the same student as the target; no gradient flows into it"
    )
    temperature: float = Field(1.0, gt=0, description="losses between logits; the term is multiplied by its square")
    projector: Literal["linear", "orthogonal", "pca"] | None = Field(
        None, description="a learnt map from the student's width to the signal's; pca: the signal's own main directions"
    )
    layers: Literal["uniform", "last"] | tuple[LayerPair, ...] | None = Field(
        None,
        description="a term a layer: output and signal end with .*; pairs are student's and teacher's layer",
    )
    tokens: Literal["grid"] | None = Field(None, description="patch tokens of both sides on the coarser of their grids")
    vocabulary: VocabularySpec | None = Field(None, description="logits over other vocabularies that share strings")
    span: Literal["text", "image", "action"] | None = Field(None, description="the tokens of one kind alone")
    spans: str = Field("spans", description="the signal that says the spans")
    mask: str | None = Field(
        None, description="input or output of the student, (tokens), not 0 for tokens that count; none: all of them"
    )
    average: Literal["row", "batch"] | None = Field(
        None, description="tokens: mean over those of a row, or over those of the whole batch"
    )
    sample_weight: SampleWeightSpec | None = Field(None, description="rows that count more, by what the teacher said")
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    alpha: float | None = Field(None, ge=0, description="dkd: weight of label against rest; skewed: the skew")
    beta: float | None = Field(None, ge=0, description="dkd: weight among the rest; dist: of rows; jensen: the mixture")
    gamma: float | None = Field(None, ge=0, description="nkd: weight among the rest; dist: of classes")
    delta: float | None = Field(None, gt=0, description="smooth_l1, huber: where the square ends")
    t: float | None = Field(None, ge=0, le=1, description="taid: how far from the student to the teacher")
    scale: float | Literal["learnt", "teacher"] | None = Field(
        None, description="what cosines are multiplied by: a number, a parameter of the objective, or the teacher's"
    )
    target_scale: float | None = Field(None, gt=0, description="clip_affinity: the teacher's, where its cache has none")
    bias: float | None = Field(None, description="siglip: added to the scaled cosines")
    heads: int | Literal["mean"] | None = Field(
        None, description="minilm: relation heads; attention: mean averages the heads of both sides"
    )
    shares: tuple[float, ...] | None = Field(None, description="ensemble_kl: the say of each teacher")
    bank: int | None = Field(None, gt=0, description="crd: rows of the cache that stand against each row")
    bins: int | None = Field(None, gt=0, description="action_kl: ids at the end of a vocabulary that are actions")
    token_ids: int | None = Field(None, gt=0, description="action_kl: the student's vocabulary; left out: bins alone")
    target_token_ids: int | None = Field(None, gt=0, description="action_kl: the teacher's vocabulary")
    schedules: SchedulesSpec | None = Field(
        None, description="numbers of the term that change: weight, temperature, t and others, by name"
    )

    @model_validator(mode="before")
    @classmethod
    def _first_numbers(cls, content: Any) -> Any:
        """A number that changes is, in its own field, what it is at first."""
        if not isinstance(content, Mapping) or not content.get("schedules"):
            return content
        schedules = SchedulesSpec.model_validate(content["schedules"])
        first = {name: value_at(rule, 0, 1) for name, rule in schedules.set.items()}
        for name, value in first.items():
            if content.get(name, value) not in (value, None):
                raise ValueError(f"{name} is {content[name]}, and its schedule begins with {value:g}: leave one out")
        return {**content, **first}

    @model_validator(mode="after")
    def _numbers_stay_in_range(self) -> Self:
        limits = {"weight": (0, inf), "temperature": (1e-6, inf), "label_smoothing": (0, 0.999999), "t": (0, 1)}
        for name, rule in (self.schedules.set if self.schedules else {}).items():
            (least, most), (low, high) = extremes(rule), limits.get(name, (0, inf))
            if least < low or most > high:
                raise ValueError(f"schedules.{name} goes from {least:g} to {most:g}, beyond what {name} may be")
        return self

    @property
    def reads_labels(self) -> bool:
        """Whether it reads labels, so the labelled rows alone."""
        from ..losses import LOSSES  # torch, which the settings alone do not need

        loss = LOSSES[self.loss]
        return loss.labels or loss.beside_labels or self.label is not None

    @property
    def scheduled(self) -> dict[str, Ramp | Stairs]:
        """The numbers that change, by name."""
        return self.schedules.set if self.schedules else {}

    @property
    def all_outputs(self) -> tuple[str, ...]:
        """Every output of the student that the term reads, its target among them."""
        own = (self.output,) if self.outputs is None else self.outputs
        return own if self.target_output is None else (*own, self.target_output)

    @property
    def targets(self) -> tuple[str, ...]:
        """The signals that are its targets."""
        return (() if self.signal is None else (self.signal,)) if self.signals is None else self.signals

    @property
    def all_signals(self) -> tuple[str, ...]:
        """Every signal that the term reads: targets, spans, and what its rows are weighed by."""
        spans = () if self.span is None else (self.spans,)
        weighed = () if self.sample_weight is None else self.sample_weight.signals or ()
        return tuple(dict.fromkeys((*self.targets, *spans, *weighed)))
