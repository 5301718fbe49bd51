"""A finished student that is to be evaluated: what it is, and the module that answers."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import xxhash
from torch import nn

from ....cache.format.document import digest
from ...errors import StageError
from ...student.files.saved import SavedStudent, load_student, read_student

_FILES = ("student.json", "student.safetensors")


@dataclass(frozen=True, slots=True)
class Candidate:
    """`weights` is the xxh3-128 of the files that make the student."""

    folder: Path
    saved: SavedStudent
    weights: str

    @property
    def name(self) -> str:
        """`<student>/<arm>/seed-<n>`."""
        return f"{self.saved.student.name}/{self.saved.arm}/seed-{self.saved.seed}"

    @property
    def architecture(self) -> str:
        """Equal for students that differ in their weights alone: they are equally large and equally fast."""
        spec, shape = self.saved.student, asdict(self.saved.shape)
        built = spec.model_dump(mode="json", include={"name", "use", "args", "input"})
        pruned = {"pruned": self.saved.pruned} if self.saved.pruned else {}
        return digest({"student": built, "shape": shape, **pruned})

    @property
    def bytes(self) -> int:
        """Bytes of the weights' file."""
        return (self.folder / _FILES[1]).stat().st_size

    def identity(self) -> Mapping[str, Any]:
        """Who it is, as evaluation.json begins."""
        return {"student": self.saved.student.name, "arm": self.saved.arm, "seed": self.saved.seed}


def read_candidate(folder: Path) -> Candidate:
    """The finished student of a trial's folder, not loaded. Raises StageError when its files cannot be read."""
    saved, state = read_student(folder), xxhash.xxh3_128()
    try:
        for name in _FILES:
            state.update((folder / name).read_bytes())
    except OSError as error:
        raise StageError(
            f"{error.filename} cannot be read ({error.strerror}); delete {folder} and run `teachercache train` again"
        ) from error
    return Candidate(folder, saved, state.hexdigest())


def load_model(candidate: Candidate, device: torch.device, outputs: tuple[str, ...] = ("logits",)) -> nn.Module:
    """The student on the device, in evaluation mode: inputs by name -> {output: values}.

    A transformers student listens to nothing but `outputs`. A user's own callable is built as it was in training, for
    it may have layers that only some outputs need.
    """
    listens = candidate.saved.student.use.startswith("transformers:")
    return load_student(candidate.folder, outputs if listens else None).to(device)
