"""The pruning of a trial: when, by which scores, and what the student is afterwards. Knows no file.

Which student stands at a step follows from settings and tensors alone, so that a trial continues exactly.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn

from ...capture import evaluating
from ...errors import StageError
from ..inputs.shape import blank_inputs
from ..models.builders import StudentShape, output_shapes
from ..models.transformers_student import TransformersStudent
from ..spec import StudentSpec
from .channels import channel_pruner
from .course import kept_of, prune_steps
from .importance import drawn_scores, weight_scores
from .picks import Picks, picked, shapes_of
from .spec import PruneSpec
from .units import unit_pruner


class Pruner(Protocol):
    """How a kind of student is pruned: `prune` says what is kept, `resized` makes a student that can hold it."""

    def prune(self, student: nn.Module, scores: Mapping[str, Tensor], kept: partial[int]) -> Picks: ...

    def resized(self, student: nn.Module, shapes: Mapping[str, tuple[int, ...]]) -> nn.Module: ...


@dataclass(frozen=True, slots=True)
class Pruning:
    """`steps` are those before which something goes; `first` the shapes of the student's tensors at the beginning."""

    spec: PruneSpec
    steps: tuple[int, ...]
    pruner: Pruner
    first: Mapping[str, tuple[int, ...]]
    seed: int

    def due(self, step: int) -> bool:
        """Whether something goes before a step."""
        return step in self.steps

    def prune(
        self, student: nn.Module, step: int, taylor: Mapping[str, Tensor] | None = None
    ) -> tuple[nn.Module, Picks]:
        """The student with less, and what was kept of every tensor. `taylor` are the scores where it ranks by them."""
        number = self.steps.index(step) + 1
        if self.spec.importance == "random":
            scores: Mapping[str, Tensor] = drawn_scores(student, self.seed, number)
        else:
            scores = weight_scores(student) if taylor is None else taylor
        picks = self.pruner.prune(student, scores, partial(kept_of, spec=self.spec, number=number))
        state = {name: picked(tensor, picks, name) for name, tensor in student.state_dict().items()}
        found = self.resized(student, {name: tuple(tensor.shape) for name, tensor in state.items()})
        found.load_state_dict(state)
        return found, picks

    def resized(self, student: nn.Module, shapes: Mapping[str, tuple[int, ...]]) -> nn.Module:
        """A student whose tensors have these shapes, in the same mode; what they hold is undefined."""
        return self.pruner.resized(student, shapes).train(student.training)

    def changes(self, student: nn.Module) -> dict[str, tuple[int, ...]]:
        """The shapes that are not as at the beginning, by tensor."""
        return {name: shape for name, shape in shapes_of(student).items() if self.first[name] != shape}


def build_pruning(
    student: nn.Module, spec: StudentSpec, shape: StudentShape, outputs: frozenset[str], steps: int, seed: int
) -> Pruning | None:
    """The pruning of a student over `steps` steps; None where none is asked for.

    It is tried on a copy first. Raises StageError for what cannot be pruned, and where an output that some term or
    metric reads would change its shape.
    """
    if spec.prune is None:
        return None
    place = f"students.{spec.name}"
    when = prune_steps(spec.prune, steps, place)
    with torch.random.fork_rng(devices=[]):
        pruner = _pruner(student, spec, shape, outputs, place)
        pruning = Pruning(spec.prune, when, pruner, shapes_of(student), seed)
        _try(pruning, student, spec, shape, outputs, place)
    return pruning


def _pruner(student: nn.Module, spec: StudentSpec, shape: StudentShape, outputs: frozenset[str], place: str) -> Pruner:
    assert spec.prune is not None
    what, channels = spec.prune.what, "channels" in (spec.prune.what or ())
    if isinstance(student, TransformersStudent):
        if channels:
            raise StageError(f"{place}.prune.what: of models of transformers heads and mlp can go, and no channels")
        try:
            return unit_pruner(student, shape.completed(spec).inputs, what, place)
        except StageError as error:
            raise error if place in str(error) else StageError(f"{place}.prune: {error}") from error
    if what is not None and what != ("channels",):
        raise StageError(f"{place}.prune.what: of a {spec.use} channels can go; leave it out")
    blank = blank_inputs(shape.completed(spec).inputs, 2)

    def run(module: nn.Module) -> Mapping[str, Tensor]:
        with evaluating(module):
            return {name: values for name, values in module(blank).items() if name in outputs}

    return channel_pruner(student, run, place)


def _try(
    pruning: Pruning,
    student: nn.Module,
    spec: StudentSpec,
    shape: StudentShape,
    outputs: frozenset[str],
    place: str,
) -> None:
    """Prune a copy to the end, and hold what it returns against what the student returns."""
    try:
        smaller, _ = pruning.prune(student, pruning.steps[-1], drawn_scores(student, 0))
        was, now = (output_shapes(one, spec, shape) for one in (student, smaller))
    except StageError as error:
        raise StageError(f"{place}.{error}" if str(error).startswith("prune") else f"{place}.prune: {error}") from error
    changed = sorted(name for name in outputs if was[name] != now.get(name))
    if changed:
        raise StageError(
            f"{place}.prune: output {changed[0]!r} would become {now.get(changed[0])} a row, and is {was[changed[0]]}; "
            "leave out of prune.what what it shows (heads have an attention map each), or the term that reads it"
        )
    if not pruning.changes(smaller):
        raise StageError(f"{place}.prune.to: {spec.prune.to if spec.prune else 1:g} of every layer is all of it")
