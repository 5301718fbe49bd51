"""Trials are packed on a GPU by what earlier ones took; a share and fractions are asked for by stage."""

from dataclasses import replace
from pathlib import Path

import pytest
from recipe import write_recipe, write_shard

from teachercache.pipeline.config import Config, load_config
from teachercache.pipeline.launching.packing import Peak, needed_bytes, packs
from teachercache.pipeline.launching.peaks import note_peak, read_peaks
from teachercache.pipeline.launching.plan import train_stage
from teachercache.pipeline.launching.spec import LaunchSpec
from teachercache.pipeline.students.training import chosen_trials
from teachercache.stages.student.trial.trial import Trial

GB = 10**9
PEAKS = {"small": Peak(2 * GB, 4), "large": Peak(3 * GB, 1)}


def test_fewer_trials_need_what_they_took_together_and_more_need_more() -> None:
    assert [needed_bytes(["small"] * count, PEAKS) / GB for count in (1, 4, 5, 8)] == [2, 2, 2.5, 4]
    assert needed_bytes(["small", "large", "large"], PEAKS) / GB == 6.5


def test_packs_hold_every_trial_once_in_order_and_what_fits() -> None:
    trials = [(student, f"{student}/{number}") for student in ("small", "large") for number in range(6)]
    found = packs(trials, PEAKS, 7 * GB)
    assert [name for pack in found for name in pack] == [name for _, name in trials]
    assert all(needed_bytes([name.split("/")[0] for name in pack], PEAKS) <= 7 * GB for pack in found)
    assert [len(pack) for pack in found] == [7, 2, 2, 1]
    assert packs(trials[6:8], PEAKS, GB) == [["large/0"], ["large/1"]]  # alone, each of them has its chance
    assert packs([], PEAKS, GB) == []


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "data").mkdir()
    write_shard(tmp_path / "data" / "train-0.tar", 0)
    train = {"steps": 4, "batch_size": 4, "seeds": [0, 1, 2, 3, 4], "device": "cpu"}
    return load_config(write_recipe(tmp_path, tmp_path / "data", train=train))


def trained(config: Config) -> tuple[tuple[Trial, ...], Path]:
    """The trials, with the folders that training makes, and where those are."""
    trials, students = chosen_trials(config), config.run / "students"
    for trial in trials:
        trial.folder(students).mkdir(parents=True)
    return trials, students


def test_tasks_of_trials_are_packed_by_the_memory_that_is_recorded(config: Config) -> None:
    trials, students = trained(config)

    def sizes(**launch: object) -> list[int]:
        settings = LaunchSpec.model_validate({"engine": "slurm", **launch})
        return [len(task.trials) for task in train_stage(config, trials, settings, Path("r.yaml")).tasks]

    assert sizes(gpu_memory=8) == [1] * 5  # nothing is known yet
    allowed = [replace(one, student=one.student.model_copy(update={"memory": 3.0})) for one in trials]
    settings = LaunchSpec.model_validate({"engine": "slurm", "gpu_memory": 8})
    assert [len(task.trials) for task in train_stage(config, allowed, settings, Path("r.yaml")).tasks] == [2, 2, 1]
    note_peak(students, trials[:2], None, 4 * GB)
    assert read_peaks(students, ["slow", "other"]) == {"slow": Peak(4 * GB, 2)}
    assert sizes(gpu_memory=8) == [4, 1]
    assert sizes(gpu_memory=8, memory_share={"train": 0.5, "cache": 1.0}) == [2, 2, 1]
    assert sizes(gpu_memory=8, wave=5) == [5] and sizes() == [1] * 5


def test_a_peak_that_nobody_knows_or_can_read_is_none(config: Config) -> None:
    trials, students = trained(config)
    note_peak(students, trials, None, None)
    assert read_peaks(students, ["slow"]) == {}
    note_peak(students, trials[:1], 3, GB)
    assert read_peaks(students, ["slow"]) == {"slow": Peak(GB, 1)}
    (trials[0].folder(students) / "memory.json").write_text('{"bytes": null, "at_once": 1}')
    assert read_peaks(students, ["slow"]) == {}


def test_shares_and_fractions_are_one_number_or_one_a_stage() -> None:
    launch = LaunchSpec.model_validate({"memory_share": {"train": 0.25}, "gpus": {"cache": 1, "train": 0.25}})
    assert launch.share_of("cache") is None and launch.share_of("train").share == 0.25  # type: ignore[union-attr]
    assert [launch.gpus_of(stage, 4.0) for stage in ("cache", "train", "evaluate", "report")] == [1, 0.25, 1, 0]
    assert [LaunchSpec().gpus_of("cache", most) for most in (0.0, 8.0)] == [0, 1]
    assert LaunchSpec.model_validate({"gpus": 0.5}).gpus_of("report", 8.0) == 0
    for wrong in ({"memory_share": 0}, {"memory_share": 1.5}, {"memory_share": {"traim": 0.5}}, {"gpu_memory": 0}):
        with pytest.raises(ValueError, match="validation error"):
            LaunchSpec.model_validate(wrong)
