"""Int8 beside its float parent and torch eager: bytes, and CPU time of a batch of one, contenders in turn, one thread.

    python tests/benchmarks/quantising.py FLOAT.onnx INT8.onnx [CHECKPOINT]
    python tests/benchmarks/quantising.py --larger    # models of random weights, made here

It prints ratios of CPU time (the fastest of many rounds each), which other work on the machine disturbs little.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch

from teachercache.stages.deploy.export.graphs import TorchGraph
from teachercache.stages.deploy.export.rows import RealRows
from teachercache.stages.deploy.export.targets.onnx_file import write_onnx
from teachercache.stages.deploy.quantise.quantise import quantise
from teachercache.stages.deploy.quantise.way import fitting_way
from teachercache.stages.deploy.runtimes.onnx import OnnxGraph
from teachercache.stages.student.files.saved import load_student
from teachercache.stages.student.inputs.shape import InputShape
from teachercache.stages.student.models.builders import StudentShape, build_student
from teachercache.stages.student.spec import StudentSpec

ROUNDS, CALLS = 12, 10
LARGER = {
    "cnn, widths 64 to 512, 64 pixels": ("cnn", {"widths": [64, 128, 256, 512]}),
    "ViT, 6 layers of 384, 64 pixels, patches of 8": (
        "transformers:ViTConfig",
        {
            "hidden_size": 384,
            "num_hidden_layers": 6,
            "num_attention_heads": 6,
            "intermediate_size": 1536,
            "patch_size": 8,
        },
    ),
}


def seconds(call: Callable[[], Any]) -> float:
    """CPU seconds of one call, over CALLS of them."""
    started = process_time()
    for _ in range(CALLS):
        call()
    return (process_time() - started) / CALLS


def compare(floats: Path, int8: Path, module: torch.nn.Module | None, pixels: np.ndarray) -> dict[str, float]:
    """Milliseconds of CPU time of each, the fastest round."""
    graphs = {"ort float": OnnxGraph(floats, threads=1), "ort int8": OnnxGraph(int8, threads=1)}
    calls: dict[str, Callable[[], Any]] = {
        name: (lambda graph=graph: graph({"pixel_values": pixels})) for name, graph in graphs.items()
    }
    if module is not None:
        calls["torch eager"] = lambda: module({"pixel_values": torch.from_numpy(pixels)})
    with torch.inference_mode():
        rounds = [{name: seconds(call) for name, call in calls.items()} for _ in range(ROUNDS)]
    return {name: 1e3 * min(one[name] for one in rounds) for name in calls}


def tell(what: str, floats: Path, int8: Path, found: dict[str, float]) -> None:
    share = int8.stat().st_size / floats.stat().st_size
    print(f"{what}: {floats.stat().st_size:,} bytes, int8 {share:.1%} of them", flush=True)
    print("  " + ", ".join(f"{name} {ms:.3f} ms" for name, ms in found.items()), flush=True)
    for name in found.keys() - {"ort int8"}:
        print(f"  int8 is {found[name] / found['ort int8']:.2f}x as fast as {name}", flush=True)


def larger() -> None:
    """Models whose weights are random: their bytes and their speed are real, their answers mean nothing."""
    rng = np.random.default_rng(0)
    for what, (use, args) in LARGER.items():
        settings = {"name": "large", "use": use, "args": args, "objective": [{"loss": "cross_entropy"}]}
        spec = StudentSpec.model_validate(settings)
        student = build_student(spec, StudentShape(10, 3, 64), ("logits",), 0).eval()
        with tempfile.TemporaryDirectory() as folder:
            floats, int8 = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
            inputs = {"pixel_values": InputShape("image", (3, 64, 64), "float32")}
            write_onnx(TorchGraph(_Plain(student), inputs, ("logits",), False), floats)
            rows = RealRows({"pixel_values": rng.standard_normal((64, 3, 64, 64)).astype(np.float32)}, np.full(64, -1))
            quantise(floats, int8, fitting_way(floats), rows)
            tell(what, floats, int8, compare(floats, int8, student, rows.inputs["pixel_values"][:1]))


class _Plain(torch.nn.Module):
    def __init__(self, student: torch.nn.Module) -> None:
        super().__init__()
        self.student = student

    def forward(self, *given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.student({"pixel_values": given[0]})["logits"],)


def main(words: list[str]) -> None:
    torch.set_num_threads(1)
    if words[:1] == ["--larger"]:
        return larger()
    floats, int8 = Path(words[0]), Path(words[1])
    student = load_student(Path(words[2]), ("logits",)) if len(words) > 2 else None
    shape = OnnxGraph(floats, threads=1).session.get_inputs()[0].shape
    pixels = np.random.default_rng(0).standard_normal((1, *shape[1:])).astype(np.float32)
    tell(str(floats), floats, int8, compare(floats, int8, student, pixels))


if __name__ == "__main__":
    main(sys.argv[1:])
