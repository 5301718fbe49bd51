"""A student's own augmentation: only where it is meant, the same in every run, and never for the other students."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from teachercache.stages.student.fleet import train_fleet
from teachercache.stages.student.inputs.columns import SharedInputs
from teachercache.stages.student.trial.trial import plan_trials

AUGMENT: dict[str, Any] = {"augment": [{"op": "flip", "p": 0.5}, {"op": "erasing", "p": 1.0}]}


def test_augmentation_is_refused_unless_the_settings_say_that_the_views_are_unseen(memory: ModuleType) -> None:
    with pytest.raises(ValidationError, match="the teacher has not seen these views.*allow_unseen_views: true"):
        memory.make_student(**AUGMENT)
    assert memory.make_student(**AUGMENT, allow_unseen_views=True).augment
    with pytest.raises(ValidationError, match="Input tag 'mixup'"):
        memory.make_student(augment=[{"op": "mixup"}], allow_unseen_views=True)


def shared(step: int, rows: list[int]) -> SharedInputs:
    views = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (96, 12, 12, 1)).astype(np.uint8))
    return SharedInputs(views[rows], rows=np.array(rows), step=step)


def test_augmented_views_follow_from_row_and_step_and_are_made_once_for_all_students(memory: ModuleType) -> None:
    operations = memory.make_student(**AUGMENT, allow_unseen_views=True).augment
    batch = shared(3, [5, 6, 7])
    found = batch.augmented(operations)
    assert found is batch.augmented(operations) and batch.augmented(()) is batch
    assert found.views is not None and batch.views is not None and found.views.shape == batch.views.shape
    assert not torch.equal(found.views, batch.views)
    again, other = shared(3, [7, 5, 6]).augmented(operations).views, shared(4, [5, 6, 7]).augmented(operations).views
    assert again is not None and torch.equal(again[[1, 2, 0]], found.views)
    assert other is not None and not torch.equal(other, found.views)


def test_a_student_beside_one_that_augments_learns_as_it_does_alone(memory: ModuleType, tmp_path: Path) -> None:
    train, device = memory.make_train(steps=4), torch.device("cpu")
    plain, own = memory.make_student("plain"), memory.make_student("own", **AUGMENT, allow_unseen_views=True)
    weights = {}
    for folder, students in (("both", [plain, own]), ("alone", [plain])):
        train_fleet(
            plan_trials(students, train), memory.MemoryStream(train), memory.SHAPE, tmp_path / folder, train, device
        )
        file = tmp_path / folder / "plain" / "distilled" / "seed-0" / "student.safetensors"
        weights[folder] = file.read_bytes()
    assert weights["both"] == weights["alone"]
    augmented = (tmp_path / "both" / "own" / "distilled" / "seed-0" / "student.safetensors").read_bytes()
    assert augmented != weights["both"]
