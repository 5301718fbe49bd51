"""Holds this export against torch: python check.py, on a Mac (pip install numpy coremltools).

probes.npz has made-up inputs and what torch said of them, export.json how far CoreML may be from it. It exits with 1
when it is further, or returns what is no number.
"""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

Predict = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]


def difference(predict: Predict, probes: Mapping[str, np.ndarray], graph: str, batch: int) -> float:
    """The largest from torch, as a share of the largest output where that is above 1; infinite for other shapes, and
    for what is no number."""
    given, wanted = (
        {k.split("/")[3]: probes[k] for k in probes if k.startswith(f"{graph}/{batch}/{e}/")} for e in _ENDS
    )
    found = predict({n: v.astype(np.int32) if v.dtype == np.int64 else v for n, v in given.items()})
    return max(_apart(np.asarray(found[name]), values) for name, values in wanted.items())


_ENDS = ("in", "out")


def _apart(found: np.ndarray, wanted: np.ndarray) -> float:
    if found.shape != wanted.shape or not np.isfinite(found).all():
        return float("inf")
    return float(np.abs(found - wanted).max() / max(1.0, float(np.abs(wanted).max())))


def main() -> int:
    """Print what was found of each graph and batch; 0 where all is well."""
    import coremltools

    here = Path(__file__).resolve().parent
    about, worst = json.loads((here / "export.json").read_text("utf-8")), 0.0
    probes = np.load(here / "probes.npz")
    for name, graph in about["graphs"].items():
        model = coremltools.models.MLModel(str(here / graph["file"]), compute_units=coremltools.ComputeUnit.CPU_ONLY)
        for batch in about["check"]["batches"]:
            found = difference(model.predict, probes, name, batch)
            print(f"{name}, batch {batch}: {found:.1e} from torch")
            worst = max(worst, found)
    allowed = about["check"]["tolerance"]
    print("it says what torch says" if worst <= allowed else f"it DIFFERS from torch: {allowed:.0e} is allowed")
    return 0 if worst <= allowed else 1


if __name__ == "__main__":
    sys.exit(main())
