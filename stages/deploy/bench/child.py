"""The process in which one model is timed and its memory is read. It is started by this file's path.

An exported model is measured without torch, as it runs on a device: beside numpy and the runtime it brings a few small
files of ours, a megabyte in memory. A checkpoint is loaded through `checkpoint_pass`. Whoever starts it pins threads.

It prints one line of JSON: seconds of loading, the first pass (cold), passes after it (warm) by batch size, and the
most memory that the whole process had resident.
"""

import importlib
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

_ENOUGH_SECONDS, _LEAST_RUNS = 5.0, 5
Pass = Callable[[], object]


def measure(request: Mapping[str, Any]) -> dict[str, Any]:
    """`request`: kind, batches, runs, threads, and what its kind needs."""
    begun = perf_counter()
    subject = _checkpoint(request) if request["kind"] == "checkpoint" else _Export(request)
    loaded = perf_counter() - begun
    first = subject.batch(request["batches"][0])
    cold = _seconds(first)
    latency = {str(size): _timed(subject.batch(size), size, request["runs"]) for size in request["batches"]}
    peak = _peak_megabytes()  # before the multiply-accumulates are counted, which takes memory of its own
    return {
        "load_seconds": loaded,
        "cold_ms": cold * 1e3,
        "latency": latency,
        "peak_memory_mb": peak,
        "runtime": subject.runtime,
        "macs": subject.macs(),
    }


class _Export:
    """All graphs of an export; a pass runs each of them once."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        runtime = importlib.import_module("teachercache.stages.deploy.runtimes.runtime")
        self._graphs = [
            (
                runtime.open_graph(request["kind"], Path(one["file"]), _names(runtime, one), request["threads"]),
                one["inputs"],
            )
            for one in request["graphs"]
        ]
        self.runtime = self._graphs[0][0].runtime

    def batch(self, size: int) -> Pass:
        given = [(graph, {one["name"]: _noise(one, size) for one in inputs}) for graph, inputs in self._graphs]
        return lambda: [graph(inputs) for graph, inputs in given]

    def macs(self) -> None:
        return None


def _names(runtime: Any, graph: Mapping[str, Any]) -> Any:
    return runtime.GraphNames(tuple(one["name"] for one in graph["inputs"]), tuple(graph["outputs"]))


def _checkpoint(request: Mapping[str, Any]) -> Any:
    """Through a name: by its path this file belongs to no package."""
    return importlib.import_module("teachercache.stages.deploy.bench.checkpoint_pass").CheckpointPass(request)


def _noise(tensor: Mapping[str, Any], size: int) -> Any:
    import numpy as np

    shape = (size, *tensor["shape"][1:])
    if tensor["dtype"].startswith("float"):
        return np.random.default_rng(0).standard_normal(shape).astype(tensor["dtype"])
    return np.full(shape, tensor.get("fill", 1), tensor["dtype"])


def _timed(run: Pass, size: int, runs: int) -> dict[str, float]:
    """Warm passes: a tenth as many, at least three, come before; five seconds are enough, five passes the fewest."""
    import numpy as np

    for _ in range(max(3, runs // 10)):
        run()
    seconds: list[float] = []
    while len(seconds) < runs and (len(seconds) < _LEAST_RUNS or sum(seconds) < _ENOUGH_SECONDS):
        seconds.append(_seconds(run))
    p50, p95 = np.percentile(seconds, (50, 95)) * 1e3
    rate = size / float(np.mean(seconds))
    return {"p50_ms": float(p50), "p95_ms": float(p95), "samples_per_second": rate, "runs": len(seconds)}


def _seconds(run: Pass) -> float:
    begun = perf_counter()
    run()
    return perf_counter() - begun


def _peak_megabytes() -> float | None:
    """Of the whole process in units of 10^6 bytes; None where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
