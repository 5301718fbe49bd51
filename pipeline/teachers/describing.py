"""`teacher describe`: the points of a configuration's teachers, or of a model's folder by itself."""

import io
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.table import Table

from ...data import Sample, ViewPolicy, ViewsSpec
from ...stages.errors import StageError
from ...stages.teacher.describing import DescribedTeacher, describe_teacher
from ...stages.teacher.job import CacheJob
from ...stages.teacher.spec import TeacherSpec
from ..config import load_cache_config
from ..errors import ConfigError
from .described_teachers import MAIN, describe_teachers

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


def describe(given: str, name: str | None = None) -> Iterator[tuple[str, DescribedTeacher]]:
    """Of a configuration's YAML file, each teacher with its name or the one of that name; or of a folder as
    save_pretrained writes it, which has none (""). Raises StageError for neither, ConfigError for a name in vain."""
    path = Path(given)
    if path.suffix in (".yaml", ".yml"):
        yield from describe_teachers(load_cache_config(path), name)
        return
    if name is not None:
        raise ConfigError(f"--teacher {name}: {given} is no YAML file, and a model's folder has no names of teachers")
    if not (path / "config.json").is_file():
        raise StageError(
            f"{given} is neither a YAML file nor a model's folder with config.json; for a hub model, and for a module "
            "of your own, write a YAML file"
        )
    yield MAIN, describe_teacher(_job(path))


def described_json(every: Mapping[str, DescribedTeacher]) -> dict[str, Any]:
    """The same as JSON: the main teacher, or the one that is asked for, and under `teachers` the others by name."""
    first, *others = every
    named = {name: asdict(every[name]) for name in others}
    return {**asdict(every[first]), **({"teachers": named} if named else {})}


def described_table(name: str, found: DescribedTeacher) -> Table:
    """The same of one teacher for people; points of one with a name are as they stand under cache.signals."""
    facts, prefix = found.facts, f"{name}." if name else ""
    title = f"{facts['class']} ({found.family}): {facts['parameters']:,} parameters, {facts['bytes'] / 1e6:,.1f} MB"
    title = f"teacher {name}: {title}" if name else title
    table = Table(title=title, title_justify="left")
    for column in ("point", "shape of a row", "bytes in f16", "codec to try", "bytes in it"):
        table.add_column(column, justify="right" if column.startswith("bytes") else "left")
    for point in found.points:
        shape = " x ".join(map(str, point.shape)) + (" at most" if point.ragged else "")
        table.add_row(prefix + point.point, shape, f"{point.f16:,}", point.codec, f"{point.bytes:,}")
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
