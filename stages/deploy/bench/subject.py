"""A model that is to be measured: a checkpoint or an export, found in its folder and not loaded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import StageError
from ..export.manifest import DOCUMENT, Exported, read_export
from ..predict.preparation import read_preparation
from ..predict.reading import ArrayReading, TextReading


@dataclass(frozen=True, slots=True)
class Subject:
    """`weights` are the student's, so that an export finds the checkpoint that it was made from; `bytes` those of the
    files that a device needs to answer; `request` goes to the measuring process; `simulation`, of an int8 file of a
    student that was trained as if in int8: the share of rows of which torch said so too."""

    name: str
    folder: Path
    form: str
    weights: str
    bytes: int
    request: Mapping[str, Any]
    simulation: float | None = None

    @property
    def is_float(self) -> bool:
        """Whether variants are held against it: a checkpoint, or an export in float32."""
        return self.form == "checkpoint" or self.form.endswith(" float32")


def find_subjects(folders: Sequence[Path]) -> list[Subject]:
    """What lies in each folder. Raises StageError when one holds neither, or when two have one name."""
    found = [_subject(folder) for folder in folders]
    repeated = next((one.folder for one in found if sum(one.folder == other.folder for other in found) > 1), None)
    if repeated is not None:
        raise StageError(f"{repeated} is named twice: name each model once")
    return found


def _subject(folder: Path) -> Subject:
    if (folder / DOCUMENT).is_file():
        return _export(folder, read_export(folder))
    if not (folder / "student.json").is_file():
        raise StageError(f"{folder} holds neither a finished student (student.json) nor an export ({DOCUMENT})")
    from ..evaluation.candidate import read_candidate

    candidate = read_candidate(folder)
    request = {"kind": "checkpoint", "folder": str(folder)}
    return Subject(str(folder), folder, "checkpoint", candidate.weights, candidate.bytes, request)


def _export(folder: Path, exported: Exported) -> Subject:
    if exported.target == "hf":
        raise StageError(f"{folder} is exported to hf, which is the student itself: measure its checkpoint")
    longest = _longest(folder) | _written(exported, folder)
    graphs = [
        {
            "file": str(folder / graph.file),
            "outputs": [one.name for one in graph.outputs],
            "inputs": [
                {"name": one.name, "dtype": one.dtype, **_sized(one.shape, one.name, longest)} for one in graph.inputs
            ],
        }
        for graph in exported.graphs.values()
    ]
    weights, form = str(exported.student["weights"]), f"{exported.target} {exported.precision}"
    simulation = (exported.quantisation or {}).get("simulation_agreement")
    request = {"kind": exported.target, "graphs": graphs}
    return Subject(str(folder), folder, form, weights, exported.bytes, request, simulation)


def _written(exported: Exported, folder: Path) -> dict[str, int]:
    """Of a student that writes texts the lengths by axis: one token behind the longest prompt and its image."""
    if exported.generation is None:
        return {}
    prompt = max(_longest(folder).values(), default=1) + int(exported.generation["image_tokens"])
    return {"length": 1, "past": prompt, "past+length": prompt + 1}


def _longest(folder: Path) -> dict[str, int]:
    """How long an input with a free axis may be, by its name and that of its companion."""
    found: dict[str, int] = {}
    for name, reading in read_preparation(folder).items():
        if isinstance(reading, TextReading | ArrayReading) and reading.longest is not None:
            beside = reading.mask if isinstance(reading, TextReading) else reading.lengths
            found |= {name: reading.longest, **({beside: reading.longest} if beside else {})}
    return found


def _sized(shape: Sequence[int | str], name: str, longest: Mapping[str, int]) -> dict[str, Any]:
    """The shape with numbers for free axes; a row's length, which has the batch's axis alone, is the longest."""
    sides = [side if isinstance(side, int) else longest.get(side, longest.get(name, 1)) for side in shape]
    return {"shape": sides, "fill": longest.get(name, 1) if len(shape) == 1 else 1}
