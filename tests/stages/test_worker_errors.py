"""Errors in loader workers: the user meets the one line that was raised there."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from teachercache.cache import CacheError, open_cache
from teachercache.data import DataError
from teachercache.stages.errors import StageError
from teachercache.stages.student.spec import TrainSpec
from teachercache.stages.student.stream.join import Join
from teachercache.stages.student.stream.stream import Stream
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache
from teachercache.stages.worker_errors import HandsOver, raised


class Odd(DataError):
    """An error that cannot be copied."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first + second)


@dataclass(frozen=True)
class Breaks(Dataset[int]):
    """Item 1 is an error."""

    error: Exception

    def __len__(self) -> int:
        return 3

    def __getitem__(self, number: int) -> int:
        if number == 1:
            raise self.error
        return number


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("kind", [DataError, CacheError])
def test_an_error_for_the_user_is_raised_as_it_was(workers: int, kind: type[Exception]) -> None:
    items = raised(DataLoader(HandsOver(Breaks(kind("shard a: sample b"))), batch_size=None, num_workers=workers))
    assert next(items) == 0
    with pytest.raises(kind) as caught:
        next(items)
    assert str(caught.value) == "shard a: sample b"


@pytest.mark.parametrize("error", [RuntimeError("a fault of ours"), Odd("a", "b")], ids=str)
def test_a_fault_and_an_error_that_cannot_be_copied_are_raised_at_once(error: Exception) -> None:
    with pytest.raises(type(error)):
        HandsOver(Breaks(error))[1]


def test_a_teachers_and_a_students_loader_name_the_sample_in_one_line(
    make_job: Callable[..., CacheJob], images: Path
) -> None:
    job = make_job(workers=1)
    build_cache(job)
    cache = open_cache(job.root)
    file = images / "train-0.tar"
    file.write_bytes(file.read_bytes().replace(b"IDAT", b"IDOT"))  # the same size, and no image any more
    broken = make_job(workers=1, root=job.root.parent / "again")
    with pytest.raises(DataError) as teacher:
        build_cache(broken)
    train = TrainSpec.model_validate({"steps": 10, "batch_size": 8, "workers": 1})
    stream = Stream(cache, Join(cache, broken.source, broken.policy), train, ["logits"], torch.device("cpu"), False)
    with pytest.raises(StageError) as student:
        list(stream.batches(0, 10))
    for said in (str(teacher.value), str(student.value)):
        assert "train-0" in said and "Traceback" not in said and "\n" not in said
