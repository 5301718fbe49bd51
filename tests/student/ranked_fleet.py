"""A fleet that several processes train together, with students in float64, so that equal means equal.

Run as a script it is one of them: `python ranked_fleet.py RANK SIZE STORE FOLDER SCENARIO`.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import memory_stream as memory
import torch
import torch.distributed as dist
import xxhash
from torch import Tensor, nn

from teachercache.stages.errors import Interrupted, StageError
from teachercache.stages.student.files.checkpoint import tensor_bytes
from teachercache.stages.student.files.durable_files import write_json
from teachercache.stages.student.fleet import train_fleet
from teachercache.stages.student.ranks.ranks import ALONE, Ranks
from teachercache.stages.student.spec import StudentSpec
from teachercache.stages.student.trial.training import Training
from teachercache.stages.student.trial.trial import plan_trials

WAIT = timedelta(seconds=180)  # for a process that will never come
LABELS = {"loss": "cross_entropy", "weight": 0.5}
KL = {"loss": "kl", "signal": "logits", "temperature": 2.0}
MSE = {"loss": "mse", "output": "embedding", "signal": "embedding", "projector": "linear"}
TRAIN: dict[str, Any] = dict(steps=6, controls=("labels-only",), labelled={"count": 60, "per_batch": 5})
FEW: dict[str, Any] = {"labelled": {"count": 60, "per_batch": 1}}


class Plain(nn.Module):
    """Two layers, with what a student may have that differs by process: dropout, statistics of a batch, a fault."""

    def __init__(
        self, classes: int, size: int, dropout: float = 0.0, norm: bool = False, fails_at: int | None = None
    ) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(size * size, 8), nn.Linear(8, classes)
        self.middle = nn.Sequential(nn.BatchNorm1d(8) if norm else nn.Identity(), nn.Tanh(), nn.Dropout(dropout))
        self.fails_at, self.calls = fails_at, 0

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        embedding = self.middle(self.first(inputs["pixel_values"].flatten(1).double()))
        if self.training:
            self.calls += 1
            if self.calls == self.fails_at and dist.get_rank() == 1:
                raise KeyError("pixels")
        return {"logits": self.head(embedding), "embedding": embedding}


class DoubleStream(memory.MemoryStream):
    """Signals in float64."""

    def _signals(self, rows: Any) -> Any:
        return {name: values.double() for name, values in super()._signals(rows).items() if name != "attention.0"}


def student(name: str, objective: Sequence[dict[str, Any]] = (LABELS, KL, MSE), **changes: Any) -> StudentSpec:
    args = changes.pop("args", {})
    settings = dict(use="ranked_fleet:Plain", args=args, objective=tuple(objective), optimizer={"lr": 0.01})
    return StudentSpec(name=name, **(settings | changes))


EXACT = (
    student("parts", optimizer={"lr": 0.01, "micro_batch": 3, "ema": 0.9}),
    student("some", select={"by": "entropy", "signals": ["logits"], "share": 0.3}),
)
DIFFERENT = (student("norm", args={"norm": True, "dropout": 0.3}),)


def train(
    students: Sequence[StudentSpec],
    folder: Path,
    ranks: Ranks = ALONE,
    stop: Callable[[], bool] = lambda: False,
    **settings: Any,
) -> Any:
    spec = memory.make_train(**(TRAIN | settings))
    trials = plan_trials(students, spec)
    stream = DoubleStream(spec, division=ranks.division)
    return train_fleet(trials, stream, memory.SHAPE, folder, spec, torch.device("cpu"), stop, ranks=ranks)


def whole(ranks: Ranks, folder: Path) -> None:
    """Undisturbed; stopped by the second process alone and continued; stopped, for one process to continue."""
    with noted(folder / f"rank-{ranks.rank}.json"):
        train((*EXACT, *DIFFERENT), folder / "undisturbed", ranks)
    for name, students in (("continued", (EXACT[0], *DIFFERENT)), ("left", EXACT[:1])):
        try:
            train(students, folder / name, ranks, partial(_asks, ranks, iter(range(3))))
        except Interrupted as error:
            assert "step 4" in str(error)
        else:
            raise AssertionError("it was to stop")
    train((EXACT[0], *DIFFERENT), folder / "continued", ranks)


def _asks(ranks: Ranks, left: Iterator[int]) -> bool:
    """Whether this process is asked to stop: the second alone, after as many looks as are left."""
    return ranks.rank == 1 and next(left, None) is None


def failing(ranks: Ranks, folder: Path) -> None:
    """A student that fails in one process alone, beside one that does not."""
    results = train((student("bang", args={"fails_at": 5}), student("plain")), folder, ranks)
    found = {result.trial.name: [result.status, result.step, result.reason] for result in results}
    write_json(folder / f"rank-{ranks.rank}.json", found)


def few(ranks: Ranks, folder: Path) -> None:
    """Fewer labelled rows in a batch than processes: some have none."""
    train(EXACT, folder, ranks, **FEW)


def refused(ranks: Ranks, folder: Path) -> None:
    """What needs whole batches."""
    rkd = {"loss": "rkd", "output": "embedding", "signal": "embedding"}
    for number, one in enumerate((student("far", [LABELS, rkd]), student("even", balance="uncertainty"))):
        try:
            train((one,), folder / str(number), ranks)
        except StageError as error:
            write_json(folder / f"refused-{number}-{ranks.rank}.json", {"error": str(error)})


SCENARIOS = {"whole": whole, "failing": failing, "few": few, "refused": refused}


def take_part(rank: int, size: int, store: str, folder: Path, *scenarios: str) -> None:
    """Be process `rank` of `size`."""
    dist.init_process_group("gloo", store=dist.FileStore(store, size), rank=rank, world_size=size, timeout=WAIT)
    try:
        with float64():
            for name in scenarios:
                SCENARIOS[name](Ranks(rank, size), folder / name)
    finally:
        dist.destroy_process_group()


@contextmanager
def float64() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def noted(file: Path) -> Iterator[None]:
    """Write the digest of each student that ends within the context, as this process holds it."""
    close, found = Training._close, dict[str, str]()

    def closing(self: Training) -> None:
        found[self.trial.name] = xxhash.xxh3_64_hexdigest(tensor_bytes(self.learner.student.state_dict()))
        close(self)

    Training._close = closing  # type: ignore[method-assign]
    try:
        yield
    finally:
        Training._close = close  # type: ignore[method-assign]
    write_json(file, found)


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.modules["ranked_fleet"] = sys.modules["__main__"]
    take_part(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4]), *sys.argv[5:])
