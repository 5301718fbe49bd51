"""The settings of students and their training, as they stand in the YAML."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

_STRICT = ConfigDict(extra="forbid", frozen=True)

Arm = Literal["distilled", "labels-only", "shuffled-cache"]


class TermSpec(BaseModel):
    """One term of the objective: loss, weight, and which student output meets which signal."""

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
    ]
    weight: float = Field(1.0, ge=0)
    output: str = Field(
        "logits", description="student output: logits, embedding, hidden.N, attention.N, or the user's own"
    )
    signal: str | None = Field(
        None, description="cached signal; left out only for cross_entropy, which reads the labels"
    )
    temperature: float = Field(1.0, gt=0, description="losses between logits; the term is multiplied by its square")
    projector: Literal["linear", "orthogonal"] | None = Field(
        None, description="a learnt map from the student's width to the signal's"
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    alpha: float | None = Field(None, ge=0, description="dkd: weight of label against rest; skewed: the skew")
    beta: float | None = Field(None, ge=0, description="dkd: weight among the rest; dist: of rows; jensen: the mixture")
    gamma: float | None = Field(None, ge=0, description="nkd: weight among the rest; dist: of classes")
    scale: float | None = Field(None, gt=0, description="info_nce: what cosines are multiplied by")
    heads: int | None = Field(None, gt=0, description="minilm: relation heads")


class InputSpec(BaseModel):
    """How a student sees the canonical view: resized (bilinear, antialiased) to `size`, then (x / 255 - mean) / std."""

    model_config = _STRICT

    size: int | None = Field(None, gt=0, description="side in pixels; the view's own size when left out")
    mean: tuple[float, ...] = (0.5,)
    std: tuple[float, ...] = (0.5,)


class OptimizerSpec(BaseModel):
    """AdamW with linear warm-up, cosine decay to zero and gradient clipping."""

    model_config = _STRICT

    lr: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    warmup: float = Field(0.1, ge=0, le=1, description="share of the steps")
    clip: float | None = Field(1.0, gt=0, description="largest gradient norm; null for no clipping")
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="autocast dtype; float32 is none"
    )


class StudentSpec(BaseModel):
    """One student: how it is built, what it sees, what it learns from."""

    model_config = _STRICT

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    use: str = Field(description="cnn, transformers:<ConfigClass> (an image classifier), or package.module:callable")
    args: dict[str, Any] = Field(default_factory=dict, description="arguments of the config class or callable")
    input: InputSpec = InputSpec()
    objective: tuple[TermSpec, ...] = Field(min_length=1)
    optimizer: OptimizerSpec = OptimizerSpec()
    control: Literal["labels-only", "shuffled-cache"] | None = Field(
        None, description="train this student as a control only"
    )


class LabelledSpec(BaseModel):
    """Few labels: `count` samples keep theirs (chosen by `seed`); every batch holds `per_batch` rows of them."""

    model_config = _STRICT

    count: int = Field(gt=0)
    per_batch: int = Field(gt=0)
    seed: int = Field(0, ge=0)


class TrainSpec(BaseModel):
    """The stream that all trials share, and how long they train."""

    model_config = _STRICT

    steps: int = Field(gt=0)
    batch_size: int = Field(128, gt=0)
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1, description="each student is trained once per seed")
    controls: tuple[Literal["labels-only", "shuffled-cache"], ...] = Field(
        (), description="every student is also trained as these controls"
    )
    labelled: LabelledSpec | None = Field(None, description="left out: every sample keeps its label")
    window: int = Field(64, gt=0, description="blocks whose rows are shuffled together")
    shuffle_seed: int = Field(0, ge=0, description="seed of the stream's order, shared by all trials")
    device: str = "auto"
    workers: int = Field(0, ge=0, description="processes that join batches; 0 uses a thread")
    checkpoint_every: int = Field(200, gt=0, description="steps")
    log_every: int = Field(20, gt=0, description="steps")
