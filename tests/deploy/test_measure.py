"""Latency and memory, measured in a child process."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from teachercache.stages.deploy.evaluation.spec import EvaluateSpec
from teachercache.stages.deploy.measuring.latency import latency, summary
from teachercache.stages.deploy.measuring.measure import measure_student
from teachercache.stages.deploy.measuring.size import ModelSize
from teachercache.stages.errors import StageFailed

CPU = torch.device("cpu")

NOISY = '''
"""A student that prints, and fails on batches of three."""
import torch
from torch import nn

print("imported")


class Noisy(nn.Module):
    def __init__(self, classes, width, fails):
        super().__init__()
        self.linear, self.fails = nn.Linear(3 * 16 * 16, width), fails
        self.head = nn.Linear(width, classes)

    def forward(self, inputs):
        print("run")
        if self.fails and len(inputs["pixel_values"]) == 3:
            raise RuntimeError("three is too many")
        return {"logits": self.head(self.linear(inputs["pixel_values"].flatten(1)))}
'''


@pytest.fixture
def noisy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save: Callable[..., Path]) -> Callable[..., Path]:
    """A student of the user's own module, which only this process's sys.path leads to."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "noisy_student.py").write_text(NOISY)
    monkeypatch.syspath_prepend(str(tmp_path / "own"))

    def make(name: str, width: int, fails: bool = False) -> Path:
        return save(tmp_path / "students", name, use="noisy_student:Noisy", args={"width": width, "fails": fails})

    return make


def test_a_child_gives_sane_figures_of_a_users_own_student(noisy: Callable[..., Path], spec: EvaluateSpec) -> None:
    """10^7 parameters: 40 MB of weights, and activations that are small beside them."""
    width = 13_000
    found = measure_student(noisy("wide", width), spec, CPU)
    assert found.parameters == ModelSize(width * (768 + 1 + 7) + 7, width * (768 + 1 + 7) + 7)
    assert found.bytes == found.parameters.total * 4
    assert found.peak_memory_mb is None or found.bytes / 1e6 < found.peak_memory_mb < found.bytes / 1e6 + 60
    assert found.machine == {"device": "cpu", "threads": 1, "torch": torch.__version__}
    assert set(found.latency) == {"1", "3"}
    for batch, one in found.latency.items():
        assert 0 < one["p50_ms"] <= one["p95_ms"] < 10_000
        assert one["runs"] == 5
        assert 0 < one["samples_per_second"] < int(batch) / (one["p50_ms"] / 1e3) * 5


def test_a_childs_last_words_are_the_error(noisy: Callable[..., Path], spec: EvaluateSpec) -> None:
    with pytest.raises(StageFailed, match="student cannot be measured: RuntimeError: three is too many"):
        measure_student(noisy("failing", 4, fails=True), spec, CPU)


def test_percentiles_and_rate_of_known_passes() -> None:
    found = summary([0.001 * number for number in range(1, 102)], 4)
    assert found["p50_ms"] == pytest.approx(51.0)
    assert found["p95_ms"] == pytest.approx(96.0)
    assert found["samples_per_second"] == pytest.approx(4 / 0.051)
    assert found["runs"] == 101


def test_a_pass_is_timed_whole_and_after_warming_up() -> None:
    passes = []

    def run() -> None:
        passes.append(len(passes))
        time.sleep(0.05 if len(passes) <= 3 else 0.005)

    found = latency(run, 2, 20, CPU)
    assert len(passes) == 3 + 20
    assert 5 <= found["p50_ms"] < 45


def test_a_slow_model_is_not_run_for_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("teachercache.stages.deploy.measuring.latency._ENOUGH_SECONDS", 0.02)
    passes: list[int] = []
    found = latency(lambda: (passes.append(1), time.sleep(0.01)), 1, 1000, CPU)
    assert found["runs"] == 5  # the fewest, although two would have filled the time
    assert len(passes) == 5 + 100
