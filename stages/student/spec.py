"""The settings of students and their training, as they stand in the YAML."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ...data.spec import PixelOperationSpec
from .inputs.spec import InputSource, InputSpec
from .objective.spec import TermSpec
from .pruning.spec import PruneSpec
from .sweep.halving_spec import HalvingSpec
from .sweep.spec import SweepSpec
from .tracking.names import TrackerName
from .trial.spec import PhaseSpec, SelectSpec

__all__ = ["Arm", "InputSource", "InputSpec", "LabelledSpec", "OptimizerSpec", "StudentSpec", "TermSpec", "TrainSpec"]

_STRICT = ConfigDict(extra="forbid", frozen=True)

Control = Literal["labels-only", "shuffled-cache", "random-selection"]
Arm = Literal["distilled"] | Control


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
    ema: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="decay of a moving average of the weights, which is saved then; none: no average",
    )
    micro_batch: int | None = Field(
        None, gt=0, description="rows of a forward pass; gradients of a batch are summed up exactly; none: all at once"
    )

    @model_validator(mode="before")
    @classmethod
    def _is_adamw(cls, given: Any) -> Any:
        words = {"name", "kind", "type", "use"} & set(given) if isinstance(given, dict) else set()
        named = given if isinstance(given, str) else next((given[word] for word in words), None)
        if named is not None:
            raise ValueError(f"{named} cannot be chosen: it is AdamW, and its settings stand here, such as lr: 0.001")
        return given


class StudentSpec(BaseModel):
    """One student: how it is built, what it sees, what it learns from."""

    model_config = _STRICT

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    use: str = Field(
        description="a built-in student, transformers:<ConfigClass>, teacher, pretrained:<folder>, "
        "trained:<folder of a trial>, or module:callable"
    )
    args: dict[str, Any] = Field(default_factory=dict, description="arguments of the config class or callable")
    task: str | None = Field(
        None, description="models of transformers: which of them; left out, the one that has the outputs asked for"
    )
    init: Literal["from_teacher", "random"] | None = Field(
        None, description="use teacher: its weights (from_teacher, also when left out), or its form alone (random)"
    )
    input: InputSpec = Field(InputSpec(), description="how it sees the image, when `inputs` is left out")
    inputs: dict[str, InputSource] | None = Field(
        None, min_length=1, description="what its forward is given, by name; left out: pixel_values, as `input` says"
    )
    augment: tuple[PixelOperationSpec, ...] = Field(
        (), description="what is done to the cached views for this student alone, anew in each step"
    )
    allow_unseen_views: bool = Field(False, description="needed for augment: the teacher has not seen these views")
    objective: tuple[TermSpec, ...] = Field((), description="its terms, when there is one phase")
    phases: tuple[PhaseSpec, ...] | None = Field(
        None, min_length=1, description="instead of objective: one after another"
    )
    balance: Literal["uncertainty", "gradient-norm"] | None = Field(
        None, description="weights of the terms that adapt, when there is one phase; none: they stay as given"
    )
    select: SelectSpec | None = Field(None, description="a share of the samples, when there is one phase; none: all")
    prune: PruneSpec | None = Field(
        None, description="channels, heads or MLP units that go while it trains; none: all stay"
    )
    optimizer: OptimizerSpec = OptimizerSpec()
    memory: float | None = Field(
        None, gt=0, description="GB of a GPU that one of its trials takes at most; none: as much as it likes"
    )
    control: Control | None = Field(None, description="train this student as a control only")
    sweep: SweepSpec | None = Field(None, description="makes many students of this one, which differ in what is tried")
    swept: dict[str, Any] | None = Field(None, description="what a sweep has set in it; not for the file")

    @model_validator(mode="after")
    def _one_way(self) -> "StudentSpec":
        if self.inputs is not None and self.input != InputSpec():
            raise ValueError("input is short for inputs.pixel_values.image: give the one or the other")
        return self

    @model_validator(mode="after")
    def _unseen_views_are_meant(self) -> "StudentSpec":
        if self.augment and not self.allow_unseen_views:
            raise ValueError(
                "augment: the teacher has not seen these views, and its signals are targets for others; put the "
                "operations into `views`, or set allow_unseen_views: true to train so all the same"
            )
        if self.augment and all(source.image is None for source in self.takes.values()):
            raise ValueError("augment: this student sees no image")
        return self

    @model_validator(mode="after")
    def _one_course(self) -> "StudentSpec":
        if bool(self.objective) == (self.phases is not None):
            raise ValueError("give objective, its terms, or phases, each with its own objective: one of the two")
        if self.phases is not None:
            if self.balance is not None or self.select is not None:
                raise ValueError("with phases, balance and select stand in the phases")
            if abs(sum(phase.share for phase in self.phases) - 1) > 1e-6:
                raise ValueError(f"the shares of the phases sum to {sum(p.share for p in self.phases):g}, not to 1")
            names = [phase.name for phase in self.phases]
            if len(set(names)) < len(names):
                raise ValueError("phases: two have the same name")
        return self

    @property
    def course(self) -> tuple[PhaseSpec, ...]:
        """Its phases; one of that name where it has an objective alone."""
        if self.phases is not None:
            return self.phases
        return (
            PhaseSpec(name="training", share=1.0, objective=self.objective, balance=self.balance, select=self.select),
        )

    @property
    def terms(self) -> tuple[TermSpec, ...]:
        """The terms of all its phases, in order."""
        return tuple(term for phase in self.course for term in phase.objective)

    @property
    def takes(self) -> Mapping[str, InputSource]:
        """What its forward is given, by name."""
        return self.inputs if self.inputs is not None else {"pixel_values": InputSource(image=self.input)}


class LabelledSpec(BaseModel):
    """Few labels: `count` samples keep theirs (chosen by `seed`); every batch holds `per_batch` rows of them."""

    model_config = _STRICT

    count: int = Field(gt=0)
    per_batch: int = Field(gt=0)
    fields: tuple[str, ...] | None = Field(
        None, min_length=1, description="label fields that a chosen sample must have; left out: its class number"
    )
    seed: int = Field(0, ge=0)


class TrainSpec(BaseModel):
    """The stream that all trials share, and how long they train."""

    model_config = _STRICT

    steps: int = Field(gt=0)
    batch_size: int = Field(128, gt=0)
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1, description="each student is trained once per seed")
    controls: tuple[Control, ...] = Field((), description="every student is also trained as these controls")
    labelled: LabelledSpec | None = Field(None, description="left out: every sample keeps its label")
    window: int = Field(64, gt=0, description="blocks whose rows are shuffled together")
    shuffle_seed: int = Field(0, ge=0, description="seed of the stream's order, shared by all trials")
    device: str = "auto"
    at_once: int | None = Field(
        None, gt=0, description="trials in memory at a time; the others wait for the next wave. None: as many as fit"
    )
    halving: HalvingSpec | None = Field(None, description="weak trials of a sweep stop early; none: all go to the end")
    workers: int = Field(0, ge=0, description="processes that join batches; 0 uses a thread")
    checkpoint_every: int = Field(200, gt=0, description="steps")
    log_every: int = Field(20, gt=0, description="steps")
    track: tuple[TrackerName, ...] = Field((), description="services that are told each trial's records as well")
