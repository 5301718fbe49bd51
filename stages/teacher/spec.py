"""The settings of a teacher, as they stand in the YAML."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class TeacherSpec(BaseModel):
    """Which model speaks, and how it is run."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    model: str | None = Field(None, description="a folder written by save_pretrained, or a hub name; or set use")
    revision: str | None = Field(None, description="commit of a hub model; required for hub names")
    use: str | None = Field(None, description="package.module:factory of a torch module of your own, instead of model")
    args: dict[str, Any] = Field(default_factory=dict, description="arguments of the factory that use names")
    student: str | None = Field(
        None, description="a trained student instead of model: its folder, or in `teachers` a student of this file"
    )
    family: Literal[
        "auto",
        "image-classifier",
        "clip",
        "text-classifier",
        "causal-lm",
        "text-encoder",
        "vision-language",
        "module",
        "student",
    ] = Field("auto", description="what kind of model it is; auto: what its config.json says")
    inputs: dict[str, str] = Field(
        default_factory=dict,
        description="the source's field for each input of the family, such as {image: image}; left out: what fits",
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    dtype: Literal["float32", "bfloat16", "float16"] = Field("float32", description="dtype of the weights")
    autocast: Literal["bfloat16", "float16"] | None = Field(None, description="dtype of torch.autocast; null for none")
    batch_size: Annotated[int, Field(gt=0)] | Literal["auto"] = Field(
        256, description="rows of a forward pass; auto finds out; halved where the memory runs out"
    )
    compile: bool = Field(False, description="run the layers through torch.compile")
    devices: Literal["auto"] | Annotated[int, Field(gt=0)] | tuple[str, ...] | None = Field(
        None, description="one process for each: auto (all GPUs), so many, or a list; null is one, on device"
    )
    threads: int | None = Field(None, gt=0, description="torch's threads on a CPU; null: what the workers leave")
    max_tokens: int | None = Field(
        None, gt=0, description="most tokens of a text; what the tokenizer says when left out"
    )
    truncate: bool = Field(False, description="cut texts that are longer; else they are an error")
    prompt: str | None = Field(
        None,
        description="vision-language only: what is read, with the image's token and {text} for the sample's text; the "
        "processor's chat template when left out",
    )
    trust_remote_code: bool = Field(
        False,
        description="vision-language only: run the Python code that lies beside the weights; read it first, and set "
        "revision to a commit",
    )
    workers: int = Field(1, ge=0, description="processes that decode and prepare; 0 does it in the main process")

    @model_validator(mode="after")
    def _one_teacher(self) -> Self:
        if [self.model, self.use, self.student].count(None) != 2:
            raise ValueError(
                "give model, a folder or a hub name, or use, a factory of your own, or student, a trained student: one "
                "of the three"
            )
        if self.use is None and (self.args or self.family == "module"):
            raise ValueError("args and family: module are for a factory of your own: set use")
        if self.student is None and self.family == "student":
            raise ValueError("family: student is for a trained student: set student")
        if self.student is not None and (self.family not in ("auto", "student") or self.revision is not None):
            raise ValueError("with student the family is student, and there is no revision")
        if self.use is not None and (self.family not in ("auto", "module") or self.revision is not None):
            raise ValueError("with use the family is module, and there is no revision")
        return self

    @field_validator("batch_size", mode="before")
    @classmethod
    def _a_size(cls, given: Any) -> Any:
        if given == "auto" or _counts(given):
            return given
        raise ValueError("give a whole number above 0, or auto")

    @field_validator("devices", mode="before")
    @classmethod
    def _some_devices(cls, given: Any) -> Any:
        listed = isinstance(given, list | tuple) and bool(given) and all(isinstance(name, str) for name in given)
        if given is None or given == "auto" or _counts(given) or listed:
            return given
        raise ValueError("give auto, a whole number above 0, or a list such as [cuda:0, cuda:1]")

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        if isinstance(self.devices, tuple | list) and self.device != "auto":
            raise ValueError("device and devices both name devices: leave one of them out")
        return self


def _counts(given: Any) -> bool:
    return isinstance(given, int) and not isinstance(given, bool) and given > 0
