"""The settings of sources and views, as they stand in the YAML."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_STRICT = ConfigDict(extra="forbid", frozen=True)


class FieldSpec(BaseModel):
    """One more thing that a sample holds beside image and label: a text, an array of numbers, or JSON."""

    model_config = _STRICT

    kind: Literal["text", "array", "json"] = Field(description="text: UTF-8; array: .npy, or a .npz of numbers; json")
    ext: tuple[str, ...] = Field(min_length=1, description="extensions that hold it, the first that is there counts")
    optional: bool = Field(False, description="some samples lack it, such as a label field; else that is an error")


def _new(name: str) -> str:
    if name in ("image", "label", "id"):
        raise ValueError(f"{name} is what every sample has; choose another name")
    return name


_FieldName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$"), AfterValidator(_new)]


class SourceSpec(BaseModel):
    """Where samples come from."""

    model_config = _STRICT

    kind: Literal["webdataset", "folder"] = Field("webdataset", description="tar shards, or a folder of images")
    path: str | tuple[str, ...] = Field(
        description="webdataset: a glob, a brace pattern or a list of them; folder: the root, one sub-folder a class. "
        "Relative paths start at the working directory."
    )
    image: tuple[str, ...] = Field(
        ("png", "jpg", "jpeg", "webp"), description="extensions that hold the image; an empty list: there are no images"
    )
    fields: dict[_FieldName, FieldSpec] = Field(
        default_factory=dict, description="webdataset only: what else a sample holds, by the name that inputs use"
    )
    label: str | None = Field("cls", description="extension that holds the class number; null reads no labels")
    shard_size: int = Field(1000, gt=0, description="folder only: how many images make a shard")
    classes: tuple[str, ...] = Field((), description="class names in order, for reports")
    on_error: Literal["fail", "skip"] = Field(
        "fail", description="what becomes of a sample that cannot be decoded; skip: every sample is decoded once before"
    )
    skip_limit: float = Field(
        0.01, ge=0, description="on_error: skip only: the most that is left out; below 1 a share, else a count"
    )


def _ordered(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError(f"the smaller of the two comes first, not {pair[0]} before {pair[1]}")
    return pair


_Fraction = Annotated[float, Field(gt=0, le=1)]
_Magnitude = Annotated[float, Field(ge=0, le=30)]
_Ratio = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class CropSpec(BaseModel):
    """A random crop of `scale` of the area and `ratio` width to height, resized to the view's size."""

    model_config = _STRICT

    op: Literal["crop"]
    scale: Annotated[tuple[_Fraction, _Fraction], AfterValidator(_ordered)] = (0.35, 1.0)
    ratio: Annotated[tuple[_Ratio, _Ratio], AfterValidator(_ordered)] = (0.75, 4 / 3)


class FlipSpec(BaseModel):
    """A horizontal flip with probability `p`."""

    model_config = _STRICT

    op: Literal["flip"]
    p: float = Field(0.5, ge=0, le=1)


class JitterSpec(BaseModel):
    """Brightness, contrast and saturation, each multiplied by a factor drawn from [1 - x, 1 + x]."""

    model_config = _STRICT

    op: Literal["jitter"]
    brightness: float = Field(0.2, ge=0, le=1)
    contrast: float = Field(0.2, ge=0, le=1)
    saturation: float = Field(0.2, ge=0, le=1)


class RandAugmentSpec(BaseModel):
    """`number` effects of RandAugment's list, of magnitudes drawn from the range `magnitude`."""

    model_config = _STRICT

    op: Literal["randaugment"]
    number: int = Field(2, gt=0, le=8)
    magnitude: Annotated[tuple[_Magnitude, _Magnitude], AfterValidator(_ordered)] = (9.0, 9.0)
    fill: int = Field(128, ge=0, le=255)


class ErasingSpec(BaseModel):
    """With probability `p` a box of `scale` of the area and `ratio` height to width becomes the grey `fill`."""

    model_config = _STRICT

    op: Literal["erasing"]
    p: float = Field(0.25, ge=0, le=1)
    scale: Annotated[tuple[_Fraction, _Fraction], AfterValidator(_ordered)] = (0.02, 0.33)
    ratio: Annotated[tuple[_Ratio, _Ratio], AfterValidator(_ordered)] = (0.3, 3.3)
    fill: int = Field(128, ge=0, le=255)


class CaptionSpec(BaseModel):
    """One of a sample's texts, where a text field holds a list of them; the plain view has the first."""

    model_config = _STRICT

    op: Literal["caption"]


class MixupSpec(BaseModel):
    """With probability `p` the view is blended with another sample of its shard, of which it keeps `share` itself."""

    model_config = _STRICT

    op: Literal["mixup"]
    p: float = Field(0.5, ge=0, le=1)
    share: Annotated[tuple[_Fraction, _Fraction], AfterValidator(_ordered)] = (0.5, 1.0)


class CutmixSpec(BaseModel):
    """With probability `p` a box of `scale` of the area and `ratio` height to width is another sample's."""

    model_config = _STRICT

    op: Literal["cutmix"]
    p: float = Field(0.5, ge=0, le=1)
    scale: Annotated[tuple[_Fraction, _Fraction], AfterValidator(_ordered)] = (0.05, 0.5)
    ratio: Annotated[tuple[_Ratio, _Ratio], AfterValidator(_ordered)] = (0.5, 2.0)


class TokenDropoutSpec(BaseModel):
    """With probability `p` about `share` of the words of a view's text are left out, never all."""

    model_config = _STRICT

    op: Literal["token_dropout"]
    p: float = Field(1.0, ge=0, le=1)
    share: Annotated[tuple[_Fraction, _Fraction], AfterValidator(_ordered)] = (0.05, 0.15)


PixelOperationSpec = Annotated[  # what is done to one image, whoever's it is
    CropSpec | FlipSpec | JitterSpec | RandAugmentSpec | ErasingSpec, Field(discriminator="op")
]
OperationSpec = Annotated[
    CropSpec
    | FlipSpec
    | JitterSpec
    | RandAugmentSpec
    | ErasingSpec
    | CaptionSpec
    | MixupSpec
    | CutmixSpec
    | TokenDropoutSpec,
    Field(discriminator="op"),
]


def _mixed_last(operations: tuple[OperationSpec, ...]) -> tuple[OperationSpec, ...]:
    """Two images can be mixed when both have the view's size; texts are drawn once."""
    names = [operation.op for operation in operations]
    if "crop" in names and any(name in ("mixup", "cutmix") for name in names[: names.index("crop")]):
        raise ValueError("mixup and cutmix need images of one size: put them behind crop")
    for name in ("caption", "token_dropout"):
        if names.count(name) > 1:
            raise ValueError(f"{name} stands {names.count(name)} times, and a view has one text: once is enough")
    return operations


class ViewsSpec(BaseModel):
    """How many deterministic views of a sample the teacher hears, and how views 1, 2, ... are drawn."""

    model_config = _STRICT

    count: int = Field(1, gt=0, le=65535, description="views of a sample; view 0 is the plain image")
    size: int = Field(224, gt=0, description="side of the canonical view in pixels; teacher and student resize from it")
    channels: Literal[1, 3] = Field(3, description="1 for grey images, 3 for RGB")
    seed: int = Field(0, ge=0, lt=2**64, description="views are drawn from (seed, sample id, view number)")
    operations: Annotated[tuple[OperationSpec, ...], AfterValidator(_mixed_last)] = Field(
        (), description="what is drawn for views 1, 2, ..., in this order"
    )
    keep_pixels: bool = Field(False, description="keep the views' uint8 pixels in the cache: phase two decodes none")
