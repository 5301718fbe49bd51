"""A trial in memory: student, objective, optimiser, and one step. Knows no file and no other trial."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from math import inf
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from ..files.checkpoint import Checkpoint
from ..files.history import Record
from ..inputs.shared import SharedInputs
from ..objective.objective import Objective
from ..stream.batch import Batch
from .arms import lesson
from .optimizer import build_optimizer, learning_rate
from .randomness import derive_seed, seed_step
from .trial import Trial
from .watch import Watch

_AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class Learner:
    """A student and what it needs to take steps. `step` counts the steps it has taken."""

    def __init__(
        self, trial: Trial, student: nn.Module, objective: Objective, steps: int, device: torch.device
    ) -> None:
        self.trial, self.step, self.seconds = trial, 0, 0.0
        self.student, self.objective = student.to(device).train(), objective.to(device).train()
        self._steps, self.device, self._spec = steps, device, trial.student.optimizer
        self._optimizer = build_optimizer(self._spec, (self.student, self.objective), device)
        self._trained = [p for group in self._optimizer.param_groups for p in group["params"]]
        scaled = self._spec.precision == "float16"
        self._scaler = torch.amp.GradScaler(device.type, enabled=scaled)
        self.watch = Watch(scaled)
        self._last: tuple[Tensor, Mapping[str, Tensor], Tensor, float] | None = None

    def advance(self, batch: Batch, shared: SharedInputs) -> None:
        """Take one step on a batch. Dropout is drawn from (seed, step): it knows no other trial and no past."""
        started = perf_counter()
        seen = lesson(batch, self.trial.arm)
        seed_step(derive_seed("step", self.trial.seed, self.step), self.device)
        rate = self._set_rate()
        with self._precision():
            inputs = shared.inputs(self.trial.student.takes, seen.rows)
            outputs = self.student(inputs)
            loss, terms = self.objective(outputs, seen, inputs)
        norm = self._descend(loss)
        self.watch.note(self.step, loss.detach(), norm)
        self._last = loss.detach(), terms, norm, rate
        self.step += 1
        self.seconds += perf_counter() - started

    def record(self) -> Record:
        """The last step's numbers; `watch.look()` comes first. Waits for the device."""
        assert self._last is not None, "no step was taken"
        loss, terms, norm, rate = self._last
        values = {name: float(value) for name, value in terms.items()}
        return Record(self.step, float(loss), values, rate, float(norm), self.seconds, self.watch.skipped)

    def checkpoint(self) -> Checkpoint:
        """All that the next step depends on."""
        states = self._optimizer.state_dict()["state"]
        optimizer = {f"optimizer.{i}.{key}": value for i, state in states.items() for key, value in state.items()}
        modules = {f"student.{key}": value for key, value in self.student.state_dict().items()}
        modules |= {f"objective.{key}": value for key, value in self.objective.state_dict().items()}
        numbers = {"seconds": self.seconds, "watch": dict(self.watch.numbers()), "scaler": self._scaler.state_dict()}
        return Checkpoint(self.step, modules | optimizer, numbers)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint of the same trial."""
        self.student.load_state_dict(_part(checkpoint.tensors, "student."))
        self.objective.load_state_dict(_part(checkpoint.tensors, "objective."))
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in _part(checkpoint.tensors, "optimizer.").items():
            number, _, key = name.partition(".")
            state.setdefault(int(number), {})[key] = value
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": state})
        self._scaler.load_state_dict(dict(checkpoint.numbers["scaler"]))
        self.watch.restore(checkpoint.numbers["watch"])
        self.step, self.seconds = checkpoint.step, checkpoint.numbers["seconds"]

    def _set_rate(self) -> float:
        rate = learning_rate(self._spec, self.step, self._steps)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        return rate

    def _descend(self, loss: Tensor) -> Tensor:
        """Backward, clip, step. Returns the gradient's norm before clipping."""
        self._optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()
        self._scaler.unscale_(self._optimizer)
        norm = nn.utils.clip_grad_norm_(self._trained, self._spec.clip or inf)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        return norm.detach()

    def _precision(self) -> AbstractContextManager[Any]:
        dtype = _AUTOCAST.get(self._spec.precision)
        return nullcontext() if dtype is None else torch.autocast(self.device.type, dtype=dtype)


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
