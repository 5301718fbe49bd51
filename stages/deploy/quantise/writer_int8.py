"""A student that writes texts, in int8: dense weights of decoder and image, and the table of tokens.

Judged by the next token behind held-out prompts. It refuses static ways, and int8 that says too often another one.
"""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ...errors import StageError
from ..evaluation.candidate import Candidate
from ..export.check import BATCHES
from ..export.check import Run as Ask
from ..export.export import Asked, finish
from ..export.facts import Facts
from ..export.folder import new_folder
from ..export.manifest import Exported
from ..export.rows import RealRows
from ..export.writers.check import check_writer
from ..export.writers.export_writer import described, write_floats
from ..export.writers.files import open_parts
from ..export.writers.writing import Run, Writing
from .judge import judge, require_agreement
from .quantise import quantise
from .way import Way, weight_bits


def export_writer_int8(
    candidate: Candidate, asked: Asked, facts: Facts, way: Way | None, judged: RealRows, least: float
) -> Exported:
    """Write `asked.out` in int8. Raises StageError, and leaves nothing, when it cannot be done."""
    if way not in (None, "dynamic"):
        raise StageError(f"--way {way}: a student that writes texts is quantised as values come: --way dynamic")
    with new_folder(asked.out, asked.replace) as folder, TemporaryDirectory() as aside:
        floats = write_floats(candidate, asked, Path(aside))
        for name in floats.writer.parts:
            quantise(Path(aside) / f"{name}.onnx", folder / f"{name}.onnx", "dynamic", None)
        generation = floats.writer.generation
        run = open_parts(folder, floats.writer.parts)
        check_writer(
            floats.writer, candidate.saved.shape.completed(candidate.saved.student).inputs, run, None, asked.out.name
        )
        first, second = ({"decoder": _next(one, generation)} for one in (floats.run, run))
        drift = judge(first, second, RealRows(judged.inputs, np.full(len(judged), -1, np.int64)))
        require_agreement(drift, least, asked.out.name)
        sizes = [sum(file.stat().st_size for file in place.glob("*.onnx")) for place in (Path(aside), folder)]
        quantisation = {
            "way": "dynamic",
            "weight_bits": weight_bits("dynamic"),
            "float_bytes": sizes[0],
            "share_of_float_bytes": round(sizes[1] / sizes[0], 4),
            "rows_judged": drift.rows,
            "agreement": drift.agreement,
            "drift_points": None,
            "cosine": drift.cosine,
        }
        check = {"batches": list(BATCHES), "tolerance": None, "largest_difference": None}
        exported = described(candidate, floats, folder, facts, precision="int8", check=check, quantisation=quantisation)
        finish(folder, exported, candidate, facts, False)
    return exported


def _next(run: Run, generation: Mapping[str, Any]) -> Ask:
    """The logits of the token behind each prompt."""

    def ask(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"logits": Writing(run, generation).begin(inputs)}

    return ask
