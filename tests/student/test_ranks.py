"""Several processes that train together train what one would, hold the same weights, stop, fail and resume as one."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from teachercache.stages.errors import StageError
from teachercache.stages.student.files.history import read_history
from teachercache.stages.student.ranks.division import Division
from teachercache.stages.student.ranks.environment import rank_asked

SCRIPT = Path(__file__).with_name("ranked_fleet.py")
Together = Callable[..., ModuleType]


@pytest.fixture
def ranked(memory: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module ranked_fleet.py."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import ranked_fleet

    return ranked_fleet


@pytest.fixture
def together(ranked: ModuleType, tmp_path: Path) -> Callable[..., None]:
    """together(*scenarios, size=2): this process is the first of `size`, the others are processes of their own."""

    def run(*scenarios: str, size: int = 2) -> None:
        store = str(tmp_path / "store")
        others = [
            subprocess.Popen([sys.executable, str(SCRIPT), str(rank), str(size), store, str(tmp_path), *scenarios])
            for rank in range(1, size)
        ]
        try:
            ranked.take_part(0, size, store, tmp_path, *scenarios)
            assert [one.wait(180) for one in others] == [0] * (size - 1)
        finally:
            for one in others:
                one.kill()

    return run


def students(folder: Path) -> dict[str, Any]:
    """{trial: its weights}."""
    found = sorted(folder.rglob("student.safetensors"))
    return {str(path.parent.relative_to(folder)): load_file(path) for path in found}


def assert_equal(found: dict[str, Any], expected: dict[str, Any], close: float = 0.0) -> None:
    assert found.keys() == expected.keys() and found
    for trial, weights in expected.items():
        for name, values in weights.items():
            np.testing.assert_allclose(found[trial][name], values, rtol=0, atol=close, err_msg=f"{trial} {name}")


def test_two_processes_train_what_one_trains_and_stop_and_continue_as_one(
    ranked: ModuleType, together: Callable[..., None], tmp_path: Path
) -> None:
    together("whole")
    folder = tmp_path / "whole"
    with ranked.float64():
        ranked.train(ranked.EXACT, tmp_path / "alone")
        ranked.train(ranked.EXACT[:1], folder / "left")  # what two began, one can end
    found, alone = students(folder / "undisturbed"), students(tmp_path / "alone")
    assert len(alone) == 5 and len(found) == 7
    assert_equal({name: found[name] for name in alone}, alone, close=1e-11)
    again, left = students(folder / "continued"), students(folder / "left")
    assert_equal(again, {name: found[name] for name in again})
    assert_equal(left, {name: alone[name] for name in left}, close=1e-11)
    first, second = (json.loads((folder / f"rank-{rank}.json").read_text()) for rank in (0, 1))
    assert first == second and len(first) == 7
    for trial in alone:
        ours, theirs = (
            read_history(place / trial / "history.jsonl") for place in (folder / "undisturbed", tmp_path / "alone")
        )
        for one, other in zip(ours, theirs, strict=True):
            assert one["accuracy"] == other["accuracy"] and one["step"] == other["step"]
            assert np.allclose([one["loss"], *one["terms"].values()], [other["loss"], *other["terms"].values()])


@pytest.mark.slow
def test_what_one_process_cannot_do_ends_the_trial_in_all_and_the_others_go_on(
    together: Callable[..., None], tmp_path: Path
) -> None:
    together("failing", size=3)
    first, second, third = (json.loads((tmp_path / "failing" / f"rank-{n}.json").read_text()) for n in range(3))
    assert first == second == third
    status, step, reason = first["bang/distilled/seed-0"]
    assert (status, step) == ("failed", 4) and reason == "KeyError: 'pixels' (rank 1)"
    assert first["plain/distilled/seed-0"][0] == "finished"
    failed = json.loads((tmp_path / "failing" / "bang/distilled/seed-0/failed.json").read_text())
    assert "ranked_fleet.py" in failed["traceback"]


@pytest.mark.slow
def test_a_process_without_a_row_takes_the_step_of_the_others(
    ranked: ModuleType, together: Callable[..., None], tmp_path: Path
) -> None:
    together("few", size=3)
    with ranked.float64():
        ranked.train(ranked.EXACT, tmp_path / "alone", **ranked.FEW)
    assert_equal(students(tmp_path / "few"), students(tmp_path / "alone"), close=1e-11)


@pytest.mark.slow
def test_what_compares_the_rows_of_a_batch_is_refused_in_every_process(
    together: Callable[..., None], tmp_path: Path
) -> None:
    together("refused")
    for number, words in enumerate(("rkd compares the rows of a batch", "students.even.balance")):
        for rank in (0, 1):
            said = json.loads((tmp_path / "refused" / f"refused-{number}-{rank}.json").read_text())["error"]
            assert words in said and "without torchrun" in said


@pytest.mark.parametrize(("rows", "labelled", "size"), [(16, 16, 2), (16, 5, 3), (7, 1, 4), (4, 0, 4)])
def test_the_parts_are_the_batch_and_even(rows: int, labelled: int, size: int) -> None:
    parts = [Division(rank, size).places(rows, labelled) for rank in range(size)]
    assert sorted(np.concatenate(parts).tolist()) == list(range(rows))
    for kind in ([int((part < labelled).sum()) for part in parts], [int((part >= labelled).sum()) for part in parts]):
        assert max(kind) - min(kind) <= 1
    assert all((np.diff(part) > 0).all() for part in parts)


def test_a_process_alone_is_alone_and_a_wrong_environment_is_said() -> None:
    place = {"MASTER_ADDR": "localhost", "MASTER_PORT": "1"}
    assert rank_asked({}) is None and rank_asked({"RANK": "0"}) is None
    assert rank_asked({**place, "RANK": "0", "WORLD_SIZE": "1"}) is None
    assert rank_asked({**place, "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}) == (5, 8, 1)
    for rank, size in (("8", "8"), ("one", "2")):
        with pytest.raises(StageError, match="torchrun sets"):
            rank_asked({**place, "RANK": rank, "WORLD_SIZE": size})
