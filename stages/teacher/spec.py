"""The settings of a teacher, as they stand in the YAML."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TeacherSpec(BaseModel):
    """Which model speaks, and how it is run."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    family: Literal[
        "auto", "image-classifier", "clip", "text-classifier", "causal-lm", "text-encoder", "vision-language"
    ] = Field("auto", description="what kind of model it is; auto: what its config.json says")
    inputs: dict[str, str] = Field(
        default_factory=dict,
        description="the source's field for each input of the family, such as {image: image}; left out: what fits",
    )
    model: str = Field(description="a folder written by save_pretrained, or a hub name")
    revision: str | None = Field(None, description="commit of a hub model; required for hub names")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    dtype: Literal["float32", "bfloat16", "float16"] = Field("float32", description="dtype of the weights")
    autocast: Literal["bfloat16", "float16"] | None = Field(None, description="dtype of torch.autocast; null for none")
    batch_size: int = Field(256, gt=0, description="rows of a forward pass")
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
