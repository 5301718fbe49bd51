"""A trial in memory: student, objective, optimiser, and one step. Knows no file and no other trial."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from math import inf
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..files.checkpoint import Checkpoint
from ..files.history import Record
from ..inputs.columns import SharedInputs
from ..objective.accuracy import Answers, answers_of, right_and_known
from ..objective.balance import Balance
from ..objective.objective import Objective
from ..pruning.importance import TaylorScores
from ..pruning.picks import picked
from ..pruning.pruning import Pruning
from ..ranks.ranks import ALONE, Ranks
from ..ranks.step import Sums, exchanged, follow_buffers
from ..rounding.fake_quantise import fake_quantised
from ..schedule import value_at
from ..stream.batch import Batch
from .arms import Lesson, lesson
from .average import WeightAverage
from .course import Phase
from .optimizer import build_optimizer, learning_rate, skip_unless_finite
from .randomness import derive_seed, seed_step
from .resizing import kept_states
from .rows import as_parts, input_rows, lesson_rows, micro_batches, selected_rows
from .selection import Selection
from .trial import Trial
from .watch import Watch

_LOOK_EVERY = 10  # steps between looks at the balance of a phase's terms
_AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, slots=True)
class PhaseParts:
    """A phase of a trial with what its steps need. `trains` names the student's parameters that it changes; `pruning`
    is the whole trial's."""

    phase: Phase
    objective: Objective
    trains: frozenset[str]
    selection: Selection | None = None
    balance: Balance | None = None
    pruning: Pruning | None = None


class Learner:
    """A student and what it needs to take steps. `step` counts the steps it has taken. Of several `ranks` each takes
    its part of a step, and all have the same student after it."""

    def __init__(
        self,
        trial: Trial,
        student: nn.Module,
        phases: Sequence[PhaseParts],
        device: torch.device,
        ranks: Ranks = ALONE,
    ) -> None:
        self.trial, self.step, self.seconds, self._ranks = trial, 0, 0.0, ranks
        self.device, self._phases, self.pruning = device, tuple(phases), phases[0].pruning
        self._beside = nn.ModuleList(part.objective for part in phases).to(device).train()
        self._balances = nn.ModuleList(part.balance or nn.Identity() for part in phases).to(device)
        self._spec = trial.student.optimizer
        self._frozen = frozenset(name for name, p in student.named_parameters() if not p.requires_grad)
        self._teach(student.to(device).train())
        taylor = self.pruning is not None and self.pruning.spec.importance == "taylor"
        self._taylor = TaylorScores(self.student) if taylor else None
        scaled = self._spec.precision == "float16"
        self._scaler = torch.amp.GradScaler(device.type, enabled=scaled)
        self.watch = Watch()
        self._last: tuple[Tensor, Mapping[str, Tensor], Tensor, float] | None = None
        self._answers: list[Answers] = []  # of the last step

    def advance(self, batch: Batch, shared: SharedInputs) -> None:
        """Take one step on a batch. Dropout is drawn from (seed, step, rank): it knows no other trial and no past."""
        started = perf_counter()
        loss, terms = exchanged(self._ranks, partial(self._look_and_learn, batch, shared), lambda: self._trained)
        norm = self._descend()
        follow_buffers(self._ranks, self.student, self._beside)
        self.watch.note(self.step, loss, norm)
        self._last = loss, terms, norm, self._optimizer.param_groups[0]["lr"]
        self.step += 1
        if self.average is not None:
            self.average.update(self.step)
        self.seconds += perf_counter() - started

    def _look_and_learn(self, batch: Batch, shared: SharedInputs) -> Sums:
        """All of a step up to the gradients: of this process's rows, where there are others."""
        if self.pruning is not None and self.pruning.due(self.step):
            self._prune(self.pruning)
        now = self._begin_step()
        seen = lesson(batch, self.trial.arm)
        inputs = shared.augmented(self.trial.student.augment).inputs(self.trial.student.takes, seen.rows)
        places = self._chosen(now, batch, seen)
        if places is not None:
            seen, chosen = selected_rows(seen, places, batch.whole)
            inputs = input_rows(inputs, chosen)
        rank = self._ranks.rank
        seed_step(derive_seed("step", self.trial.seed, self.step, *([rank] if rank else [])), self.device)
        self._set_rate(now.phase)
        return self._learn(now, seen, inputs)

    def record(self) -> Record:
        """The last step's numbers; `watch.look()` comes first. Waits for the device."""
        assert self._last is not None, "no step was taken"
        loss, terms, norm, rate = self._last
        values = {name: float(value) for name, value in terms.items()}
        right, known = self._ranks.total(right_and_known(self._answers))
        share = right / known if known else None
        return Record(self.step, float(loss), values, rate, float(norm), self.seconds, self.watch.skipped, share)

    def checkpoint(self) -> Checkpoint:
        """All that the next step depends on."""
        states = self._optimizer.state_dict()["state"]
        tensors = {f"optimizer.{i}.{key}": value for i, state in states.items() for key, value in state.items()}
        for name, module in self._modules():
            tensors |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
        if self.average is not None:
            tensors |= {f"average.{key}": value for key, value in self.average.state().items()}
        if self._taylor is not None:
            tensors |= {f"importance.{key}": value for key, value in self._taylor.values.items()}
        numbers = {"seconds": self.seconds, "watch": dict(self.watch.numbers()), "scaler": self._scaler.state_dict()}
        return Checkpoint(self.step, tensors, numbers)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint of the same trial."""
        if self.pruning is not None:
            shapes = {name: tuple(value.shape) for name, value in _part(checkpoint.tensors, "student.").items()}
            self._teach(self.pruning.resized(self.student, shapes))
        if self._taylor is not None:
            self._taylor.restore(_part(checkpoint.tensors, "importance."))
        for name, module in self._modules():
            module.load_state_dict(_part(checkpoint.tensors, f"{name}."))
        if self.average is not None:
            self.average.restore(_part(checkpoint.tensors, "average."))
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in _part(checkpoint.tensors, "optimizer.").items():
            number, _, key = name.partition(".")
            state.setdefault(int(number), {})[key] = value
        self._set_states(state)
        self._scaler.load_state_dict(dict(checkpoint.numbers["scaler"]))
        self.watch.restore(checkpoint.numbers["watch"])
        self.step, self.seconds = checkpoint.step, checkpoint.numbers["seconds"]

    def _teach(self, student: nn.Module) -> None:
        """Take steps with this student from now on; the optimiser begins anew."""
        self.student = student
        for name, parameter in student.named_parameters():
            parameter.requires_grad_(name not in self._frozen)
        self._optimizer = build_optimizer(self._spec, (student, self._beside, self._balances), self.device)
        self._trained = [p for group in self._optimizer.param_groups for p in group["params"]]
        self.average = None if self._spec.ema is None else WeightAverage(student, self._spec.ema)
        self._now: PhaseParts | None = None

    def _set_states(self, states: Mapping[int, Mapping[str, Tensor]]) -> None:
        """What the optimiser knows of each parameter."""
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": states})

    def _prune(self, pruning: Pruning) -> None:
        """Go on with less of the student, and with what the optimiser and the average know of the rest."""
        student, picks = pruning.prune(self.student, self.step, None if self._taylor is None else self._taylor.values)
        states = kept_states(self._optimizer, self.student, picks)
        average = None if self.average is None else self.average.state()
        self._teach(student)
        self._set_states(states)
        if self.average is not None and average is not None:
            self.average.restore({name: picked(value, picks, name) for name, value in average.items()})
        if self._taylor is not None:
            self._taylor.pick(picks)

    def _modules(self) -> tuple[tuple[str, nn.Module], ...]:
        return ("student", self.student), ("objective", self._beside), ("balance", self._balances)

    def _begin_step(self) -> PhaseParts:
        """The phase of the step; where it begins, other parameters train."""
        now = next(part for part in self._phases if self.step < part.phase.stop)
        if now is not self._now:
            for name, parameter in self.student.named_parameters():
                parameter.requires_grad_(name in now.trains and name not in self._frozen)
            self._now = now
        return now

    def _chosen(self, now: PhaseParts, batch: Batch, seen: Lesson) -> np.ndarray | None:
        """Which rows of the lesson, or of the whole that it is a part of, the phase takes; None for all."""
        select = now.phase.spec.select
        if select is None or now.selection is None:
            return None
        share = value_at(select.share, self.step - now.phase.start, now.phase.steps)
        rows, labelled = batch.rows[: seen.rows], seen.labelled
        if batch.whole is not None and seen.whole is not None:
            rows, labelled = batch.whole.rows[: seen.whole.rows], len(seen.whole.labels)
        places = now.selection.rows(rows, share, labelled if labelled < len(rows) else 0)
        return None if len(places) == len(rows) else places

    def _set_rate(self, phase: Phase) -> None:
        spec, given = self._spec, phase.spec
        warmup = spec.warmup if given.warmup is None else given.warmup
        rate = learning_rate(given.lr or spec.lr, warmup, self.step - phase.start, phase.steps)
        for group in self._optimizer.param_groups:
            group["lr"] = rate

    def _learn(self, now: PhaseParts, seen: Lesson, inputs: Mapping[str, Tensor]) -> Sums:
        """Forward and backward, in micro-batches where they are asked for: (loss, {term: value}), detached."""
        self._optimizer.zero_grad(set_to_none=True)
        numbers = now.objective.numbers_at(self.step - now.phase.start, now.phase.steps)
        weights, counts = now.objective.weights(numbers), now.objective.counts(seen)
        found: dict[str, Tensor] = {}
        losses, self._answers = [], []
        if seen.rows == 0:  # the other processes have all rows that the phase takes of this batch
            nothing = torch.zeros((), device=self.device)
            self._scaler.scale(nothing)  # its first call is what makes the scale
            return nothing, dict.fromkeys(weights, nothing)
        for chosen in micro_batches(seen.rows, self._spec.micro_batch, self.device):
            part = seen if chosen is None else lesson_rows(as_parts(seen), chosen)
            given = inputs if chosen is None else input_rows(inputs, chosen)
            with self._precision(), fake_quantised(self.student, now.phase.spec.fake_quantise):
                outputs = self.student(given)
                rows = now.objective.rows(outputs, part, given, numbers)
            if (answers := answers_of(now.objective.terms, outputs, part)) is not None:
                self._answers.append(answers)
            values = {name: value.sum() / max(1, counts[name]) for name, value in rows.items()}
            loss = self._total(now, [weights[name] * value for name, value in values.items()])
            self._scaler.scale(loss).backward()
            losses.append(loss.detach())
            for name, value in values.items():
                found[name] = found[name] + value.detach() if name in found else value.detach()
        return torch.stack(losses).sum(), found

    def _total(self, now: PhaseParts, weighted: Sequence[Tensor]) -> Tensor:
        if now.balance is None:
            return sum(weighted[1:], start=weighted[0])
        if (self.step - now.phase.start) % _LOOK_EVERY == 0:
            now.balance.look(weighted, [p for p in self.student.parameters() if p.requires_grad])
        total: Tensor = now.balance(weighted)
        return total

    def _descend(self) -> Tensor:
        """Clip and step; a gradient that is not finite changes nothing. Returns its norm before clipping."""
        self._scaler.unscale_(self._optimizer)
        norm = nn.utils.clip_grad_norm_(self._trained, self._spec.clip or inf).detach()
        if self._taylor is not None:
            self._taylor.note(self.student, norm)
        if not self._scaler.is_enabled():
            skip_unless_finite(self._optimizer, norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        return norm

    def _precision(self) -> AbstractContextManager[Any]:
        dtype = _AUTOCAST.get(self._spec.precision)
        return nullcontext() if dtype is None else torch.autocast(self.device.type, dtype=dtype)


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
