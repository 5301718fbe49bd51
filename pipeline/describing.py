"""`teacher describe`: the points of a configuration's teacher, or of a model's folder by itself."""

import io
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.table import Table

from ..data import Sample, ViewPolicy, ViewsSpec
from ..stages.errors import StageError
from ..stages.teacher.describing import DescribedTeacher, describe_teacher
from ..stages.teacher.job import CacheJob
from ..stages.teacher.spec import TeacherSpec
from .building import cache_job
from .config import load_cache_config

_TEXT = b"a photo of a cat on a mat"


@dataclass(frozen=True, slots=True)
class OneSample:
    """A source of one sample and one shard: a black image, and a text. It is its own shard."""

    size: int
    name: str = "one"
    fingerprint: Mapping[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()

    @property
    def kinds(self) -> Mapping[str, str]:
        return {"image": "image", "text": "text"}

    @property
    def ids(self) -> Sequence[str]:
        return ["one"]

    @property
    def labels(self) -> np.ndarray:
        return np.array([-1])

    def shards(self) -> Sequence[str]:
        return [self.name]

    def restricted(self, shards: Sequence[str]) -> "OneSample":
        return self

    def open(self, shard: str) -> "OneSample":
        return self

    def read(self, shard: str) -> Iterator[Sample]:
        yield self[0]

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Sample:
        buffer = io.BytesIO()
        Image.new("RGB", (self.size, self.size)).save(buffer, "PNG")
        return Sample("one", self.name, buffer.getvalue(), None, {"text": _TEXT})

    def part(self, index: int, fields: Collection[str]) -> Sample:
        return self[index]

    def checksum(self) -> str:
        return ""


def describe(given: str) -> DescribedTeacher:
    """Of a configuration's YAML file, or of a folder as save_pretrained writes it. Raises StageError for neither."""
    path = Path(given)
    if path.suffix in (".yaml", ".yml"):
        return describe_teacher(cache_job(load_cache_config(path)))
    if not (path / "config.json").is_file():
        raise StageError(
            f"{given} is neither a YAML file nor a model's folder with config.json; for a hub model, and for a module "
            "of your own, write a YAML file"
        )
    return describe_teacher(_job(path))


def described_json(found: DescribedTeacher) -> dict[str, Any]:
    """The same as JSON."""
    return asdict(found)


def described_table(found: DescribedTeacher) -> Table:
    """The same for people."""
    facts = found.facts
    title = f"{facts['class']} ({found.family}): {facts['parameters']:,} parameters, {facts['bytes'] / 1e6:,.1f} MB"
    table = Table(title=title, title_justify="left")
    for column in ("point", "shape of a row", "bytes in f16", "codec to try", "bytes in it"):
        table.add_column(column, justify="right" if column.startswith("bytes") else "left")
    for point in found.points:
        shape = " x ".join(map(str, point.shape)) + (" at most" if point.ragged else "")
        table.add_row(point.point, shape, f"{point.f16:,}", point.codec, f"{point.bytes:,}")
    return table


def _job(folder: Path) -> CacheJob:
    """Nothing is built of it: it holds what hearing one sample needs."""
    config = json.loads((folder / "config.json").read_bytes())
    vision = config.get("vision_config") or config
    size = vision.get("image_size") or 224
    side = int(size if isinstance(size, int) else size[0])
    views = ViewsSpec(size=side, channels=1 if vision.get("num_channels") == 1 else 3)
    teacher = TeacherSpec(model=str(folder), device="cpu", workers=0)
    return CacheJob(folder / "none", OneSample(side), ViewPolicy(views), False, teacher, {}, 1)
