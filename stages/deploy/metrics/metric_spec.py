"""The settings of metrics, as they stand in the YAML: what is compared, and which figures come of it."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from .figure_kind import FigureKind, prefixed

_STRICT = ConfigDict(extra="forbid", frozen=True)
_Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")]


class ClassificationSpec(BaseModel):
    """How often the likeliest class is right, and how sure the model is of it."""

    model_config = _STRICT

    metric: Literal["classification"] = "classification"
    name: _Name | None = Field(None, description="put before the names of its figures")
    output: str = Field("logits", description="student output, (classes)")
    signal: str | None = Field("logits", description="what the teacher says in its place; null: it is not judged")
    label: str | None = Field(None, description="field of the source that holds the class; left out: the class number")

    @property
    def figures(self) -> dict[str, FigureKind]:
        """Its figures by name, the main one first."""
        found = {
            "top1": FigureKind("top-1", "%", "higher"),
            "agreement": FigureKind("agreement", "%", "higher"),
            "kl": FigureKind("KL", "nats", "lower"),
            "nll": FigureKind("NLL", "nats", "lower"),
            "ece": FigureKind("ECE", "%", "lower"),
            "top5": FigureKind("top-5", "%", "higher"),
        }
        if self.signal is None:
            del found["agreement"], found["kl"]
        return prefixed(found, self.name)

    @property
    def pairs(self) -> dict[str, str | None]:
        """{student output: the teacher's signal in its place}."""
        return {self.output: self.signal}

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields of the source that it reads."""
        return () if self.label is None else (self.label,)


class RegressionSpec(BaseModel):
    """How far an output is from a number, or from several."""

    model_config = _STRICT

    metric: Literal["regression"]
    name: _Name | None = Field(None, description="put before the names of its figures")
    output: str = Field(description="student output, of the label's shape")
    signal: str | None = Field(None, description="what the teacher says in its place; null: it is not judged")
    label: str = Field(description="field of the source that holds the number or the array")
    unit: str | None = Field(None, description="unit of the label, for reports")

    @property
    def figures(self) -> dict[str, FigureKind]:
        """Its figures by name, the main one first."""
        found = {
            "mae": FigureKind("MAE", self.unit or "", "lower"),
            "rmse": FigureKind("RMSE", self.unit or "", "lower"),
        }
        return prefixed(found, self.name)

    @property
    def pairs(self) -> dict[str, str | None]:
        """{student output: the teacher's signal in its place}."""
        return {self.output: self.signal}

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields of the source that it reads."""
        return (self.label,)


class AucSpec(BaseModel):
    """Area under the ROC curve."""

    model_config = _STRICT

    metric: Literal["auc"]
    name: _Name | None = Field(None, description="put before the names of its figures")
    output: str = Field("logits", description="student output: one score, or one a class")
    signal: str | None = Field("logits", description="what the teacher says in its place; null: it is not judged")
    label: str | None = Field(None, description="field of the source; left out: the class number")

    @property
    def figures(self) -> dict[str, FigureKind]:
        """Its figures by name, the main one first."""
        return prefixed({"auc": FigureKind("AUC", "%", "higher")}, self.name)

    @property
    def pairs(self) -> dict[str, str | None]:
        """{student output: the teacher's signal in its place}."""
        return {self.output: self.signal}

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields of the source that it reads."""
        return () if self.label is None else (self.label,)


class RetrievalSpec(BaseModel):
    """Whether the text of an image, and the image of a text, is among the nearest ones of the set."""

    model_config = _STRICT

    metric: Literal["retrieval"]
    name: _Name | None = Field(None, description="put before the names of its figures")
    image: str = Field("image_embeds", description="student output, (width)")
    text: str = Field("text_embeds", description="student output, (width)")
    image_signal: str | None = Field("image_embeds", description="the teacher's image embedding; null: not judged")
    text_signal: str | None = Field("text_embeds", description="the teacher's text embedding; null: not judged")
    k: tuple[Annotated[int, Field(gt=0)], ...] = Field((1, 5), min_length=1, description="how many may be looked at")
    group: str | None = Field(None, description="field of the source: samples with one value of it match each other")

    @property
    def figures(self) -> dict[str, FigureKind]:
        """Its figures by name, the main one first: of both ways the mean, then each."""
        ways = {"r": "R@{}", "image_to_text_r": "image to text R@{}", "text_to_image_r": "text to image R@{}"}
        found = {f"{way}{k}": FigureKind(title.format(k), "%", "higher") for way, title in ways.items() for k in self.k}
        return prefixed(found, self.name)

    @property
    def pairs(self) -> dict[str, str | None]:
        """{student output: the teacher's signal in its place}."""
        return {self.image: self.image_signal, self.text: self.text_signal}

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields of the source that it reads."""
        return () if self.group is None else (self.group,)


class ZeroShotSpec(BaseModel):
    """Classification of images by the nearest text: the model's own text embedding of each class."""

    model_config = _STRICT

    metric: Literal["zero-shot"]
    name: _Name | None = Field(None, description="put before the names of its figures")
    image: str = Field("image_embeds", description="student output, (width)")
    text: str = Field("text_embeds", description="student output, (width)")
    image_signal: str | None = Field("image_embeds", description="the teacher's image embedding; null: not judged")
    text_signal: str | None = Field("text_embeds", description="the teacher's text embedding; null: not judged")
    label: str | None = Field(None, description="field of the source that tells classes; left out: the class number")
    prompts: str | None = Field(
        None, description="set under evaluate.prompts that holds the texts of each class; left out: the set's own texts"
    )

    @property
    def figures(self) -> dict[str, FigureKind]:
        """Its figures by name, the main one first."""
        found = {
            "zero_shot": FigureKind("zero-shot top-1", "%", "higher"),
            "zero_shot_top5": FigureKind("zero-shot top-5", "%", "higher"),
        }
        return prefixed(found, self.name)

    @property
    def pairs(self) -> dict[str, str | None]:
        """{student output: the teacher's signal in its place}."""
        return {self.image: self.image_signal, self.text: self.text_signal}

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields of the source that it reads."""
        return () if self.label is None else (self.label,)


class PartSpec(BaseModel):
    """One output that must be right: its likeliest class, or numbers that are near enough."""

    model_config = _STRICT

    output: str = Field(description="student output")
    signal: str | None = Field(None, description="what the teacher says in its place; null: it is not judged")
    label: str | None = Field(None, description="field of the source; left out: the class number")
    tolerance: float | None = Field(
        None, gt=0, description="right when no number is further off than this; left out: the label is a class"
    )


class AllRightSpec(BaseModel):
    """Samples on which several outputs are right at once, such as the cell and the offset of a click."""

    model_config = _STRICT

    metric: Literal["all-right"]
    name: _Name | None = Field(None, description="put before the names of its figures")
    title: str = Field("all right", description="what the share of such samples is called in reports")
    parts: dict[_Name, PartSpec] = Field(min_length=1, description="what must be right, by name")
    by: str | None = Field(None, description="field of the source by whose values the share is broken down")

    @property
    def figures(self) -> dict[str, FigureKind]:
        """Its figures by name, the main one first: all parts at once, then each part."""
        found = {"right": FigureKind(self.title, "%", "higher")}
        found |= {f"{part}_right": FigureKind(f"{part} right", "%", "higher") for part in self.parts}
        return prefixed(found, self.name)

    @property
    def pairs(self) -> dict[str, str | None]:
        """{student output: the teacher's signal in its place}."""
        return {part.output: part.signal for part in self.parts.values()}

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields of the source that it reads."""
        labels = [part.label for part in self.parts.values() if part.label is not None]
        return (*labels, *(() if self.by is None else (self.by,)))


MetricSpec = Annotated[
    ClassificationSpec | RegressionSpec | AucSpec | RetrievalSpec | ZeroShotSpec | AllRightSpec,
    Field(discriminator="metric"),
]
