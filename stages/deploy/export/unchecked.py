"""An export that nothing on this machine runs: written only where that is asked for, with what checks it elsewhere.

It refuses to leave a check out that could be made here.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ...errors import StageError
from . import mac_check
from .check import BATCHES, require_finite
from .graphs import TorchGraph
from .probes import probe_inputs
from .targets.target import Target

PROBES, SCRIPT = "probes.npz", "check.py"


def require_word(target: Target, unchecked: bool) -> None:
    """Raise StageError unless `unchecked` is said exactly of a target that nothing here runs."""
    if unchecked and target.runs_here:
        raise StageError(f"--unchecked: {target.name} runs on this machine, and is checked against torch; leave it out")
    if not unchecked and not target.runs_here:
        raise StageError(
            f"{target.name} runs on macOS alone, so nothing here can hold the file against torch: --unchecked writes "
            f"it with inputs and torch's answers beside it ({PROBES}); run its {SCRIPT} on a Mac"
        )


def write_probes(graphs: Mapping[str, TorchGraph], folder: Path) -> None:
    """Write inputs and torch's answers at every batch, as graph/batch/in/name and graph/batch/out/name, and what
    compares them. Raises StageFailed for answers that are no finite numbers."""
    found: dict[str, np.ndarray] = {}
    for name, graph in graphs.items():
        for batch in BATCHES:
            given = probe_inputs(graph.inputs, batch, batch, graph.fixed_length)
            said = {output: values.numpy() for output, values in graph.run(given).items()}
            require_finite(said, f"{folder.name}: the student itself, in torch,")
            found |= {f"{name}/{batch}/in/{one}": values.numpy() for one, values in given.items()}
            found |= {f"{name}/{batch}/out/{one}": values for one, values in said.items()}
    np.savez(folder / PROBES, **found)  # type: ignore[arg-type]  # its stub takes a flag among the arrays
    shutil.copyfile(mac_check.__file__, folder / SCRIPT)
