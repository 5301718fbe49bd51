"""`run` looks at the students before the teacher runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from teachercache.pipeline.commands.run import run
from teachercache.stages.errors import StageError


@pytest.mark.parametrize(
    ("student", "said"),
    [
        ({"use": "cnn", "objective": [{"loss": "kl", "signal": "logit"}]}, "no signal 'logit'.* did you mean logits?"),
        ({"use": "nowhere.mod:f", "objective": [{"loss": "cross_entropy"}]}, "nowhere"),
    ],
)
def test_a_student_that_cannot_be_trained_is_named_before_the_teacher_runs(
    make_recipe: Callable[..., Path], tmp_path: Path, student: dict[str, Any], said: str
) -> None:
    with pytest.raises(StageError, match=said):
        run(make_recipe(students=[{"name": "a", **student}]))
    assert not (tmp_path / "run").exists()
