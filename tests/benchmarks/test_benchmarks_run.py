"""The benchmarks run, and fill in their table. No time is asserted: that is what `make bench` is for."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).with_name("run.py")


# Those that go through the most seams; the others take minutes together.
NAMES = ("reading", "training")
SLOW = (
    "building",
    "feeding",
    "opening",
    "teacher",
    "shuffling",
    "writing",
    "sizes",
    "sampling",
    "peers",
    "fleet",
    "online",
    "sparse_cost",
    "prune",
    "shipping",
    "search_kept",
)


@pytest.mark.parametrize("name", [*NAMES, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_a_benchmark_measures_everything_it_lists(name: str, tmp_path: Path) -> None:
    found = tmp_path / "figures.json"
    command = [sys.executable, str(RUN), name, "--tiny", "--json", str(found)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert result.returncode == 0, result.stderr
    figures = json.loads(found.read_text())["figures"][name]
    assert len(figures) >= 2
    for figure in figures:
        assert figure["ratio"] > 0 or figure["what"].endswith(" kept")  # two steps may teach nothing
        assert (figure["bar"] == "") == (figure["reached"] is None)
        assert figure["ours"] in result.stdout


def test_an_unknown_benchmark_is_named_with_the_known_ones() -> None:
    result = subprocess.run([sys.executable, str(RUN), "riding"], capture_output=True, text=True, timeout=120)
    assert result.returncode == 2
    said = " ".join(result.stderr.replace("│", " ").split())  # a narrow terminal breaks the lines
    assert "riding" in said and "reading, opening, building" in said
