"""An exported graph against torch, at several batches: it is refused when it says something else, or no number."""

from collections.abc import Callable, Mapping

import numpy as np

from ...errors import StageError, StageFailed
from .graphs import TorchGraph
from .probes import probe_inputs

BATCHES = (1, 2, 7, 32)
TOLERANCE = 1e-4
Run = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]


def check_graph(graph: TorchGraph, run: Run, tolerance: float | None, what: str) -> float:
    """The largest difference from torch over all batches, as a share of the largest output where that is above 1.

    `tolerance` None compares nothing, and still refuses what is no number. Raises StageFailed, also where a graph of
    fixed length would say something else than a student whose texts and sequences are not padded.
    """
    worst = 0.0
    if graph.fixed_length and tolerance is not None:
        _require_deaf_to_padding(graph, tolerance, what)
    for batch in BATCHES:
        inputs = probe_inputs(graph.inputs, batch, batch, graph.fixed_length)
        wanted = {name: values.numpy() for name, values in graph.run(inputs).items()}
        require_finite(wanted, f"{what}: the student itself, in torch,")
        found = _run(run, {name: values.numpy() for name, values in inputs.items()}, what, batch)
        worst = max(worst, require_close(found, wanted, tolerance, what))
    return worst


def require_close(
    found: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray], tolerance: float | None, what: str
) -> float:
    """The largest difference of one batch's outputs. Raises StageFailed beyond the tolerance, and for no numbers."""
    require_finite(found, f"{what}: the exported graph")
    worst = max(_difference(found[name], values, what) for name, values in wanted.items())
    if tolerance is not None and worst > tolerance:
        raise StageFailed(
            f"{what}: the exported graph differs from torch by {worst:.2g}, and {tolerance:.2g} is allowed; nothing "
            "was written. Another target may be exact; --tolerance allows more where you know why"
        )
    return worst


def _require_deaf_to_padding(graph: TorchGraph, tolerance: float, what: str) -> None:
    for seed in range(4):  # rows of several lengths
        own, whole = (probe_inputs(graph.inputs, 1, seed, fixed) for fixed in (False, True))
        cut = {n: v[:, : own[n].shape[1]] if graph.inputs[n].shape[:1] == (None,) else v for n, v in whole.items()}
        said, wanted = graph.run(whole), graph.run(cut)
        for name in graph.outputs:
            worst = float((said[name] - wanted[name]).abs().max()) if said[name].shape == wanted[name].shape else None
            if worst is None or worst > tolerance * max(1.0, float(wanted[name].abs().max())):
                raise StageFailed(
                    f"{what}: its {name} of a text or sequence hang on the padding behind it, and this target pads all "
                    "of them to the longest; nothing was written. --to onnx keeps lengths free, where no layer is an "
                    "LSTM; a student that heeds its mask can be exported to any target"
                )


def _run(run: Run, inputs: Mapping[str, np.ndarray], what: str, batch: int) -> Mapping[str, np.ndarray]:
    try:
        return run(inputs)
    except StageError:
        raise
    except Exception as error:  # whatever a runtime raises
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise StageFailed(f"{what}: the exported graph fails on a batch of {batch} ({reason})") from error


def _difference(found: np.ndarray, wanted: np.ndarray, what: str) -> float:
    if found.shape != wanted.shape:
        raise StageFailed(f"{what}: the exported graph returns {found.shape}, and torch {wanted.shape}")
    return float(np.abs(found - wanted).max() / max(1.0, float(np.abs(wanted).max())))


def require_finite(values: Mapping[str, np.ndarray], who: str) -> None:
    """Raise StageFailed for values that are no finite numbers."""
    for name, found in values.items():
        if not np.isfinite(found).all():
            raise StageFailed(f"{who} returns values of {name} that are no finite numbers; train the student anew")
