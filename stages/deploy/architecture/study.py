"""The study of a student's shapes: Optuna chooses them by figure and cost at once. Its journal is one file.

Shapes are chosen in rounds of `together`. What was chosen, measured and told stands in the journal, so a search that
was killed goes on where it was; the sampler is seeded anew for each shape.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import StageError
from ...student.files.durable_files import write_errors
from ...student.sweep.spec import SweepSpec
from ...student.sweep.study_spec import StudySpec
from .front import Outcome, ShapePoint
from .spec import ArchitectureSpec

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


class ShapeStudy:
    """The study in `folder`; `asked` are the settings that it belongs to, `better` the direction of its figure.

    Raises StageError without Optuna, and for a folder that other settings began.
    """

    def __init__(self, spec: ArchitectureSpec, folder: Path, better: str, asked: Mapping[str, Any]) -> None:
        if find_spec("optuna") is None:
            raise StageError("architecture: Optuna is not installed; pip install 'teachercache[sweep]'")
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        from ...student.sweep.optuna_parts import NumberedSampler

        self.spec, self._sweep = spec, SweepSpec(kind="optuna", parameters=spec.parameters, trials=spec.trials)
        with write_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(folder / "journal.log"))),
            sampler=NumberedSampler(StudySpec(sampler=spec.sampler), spec.seed, "architecture"),
            directions=["maximize" if better == "higher" else "minimize", "minimize"],
            study_name=spec.student,
            load_if_exists=True,
        )
        known = self._study.user_attrs.get("settings")
        if known is None:
            self._study.set_user_attr("settings", dict(asked))
        elif known != dict(asked):
            other = ", ".join(key for key in asked if known.get(key) != asked[key]) or "others were left out"
            raise StageError(
                f"{folder}: this search was begun with other settings ({other}); undo the change, delete that folder "
                "to search anew, or choose another `output`"
            )

    def next_round(self) -> list[tuple[int, dict[str, Any]]]:
        """(number from 0, settings) of the shapes of the first round that is not over, those of it that are over left
        out; chosen now where they were not. [] when every round is over."""
        for first in range(0, self.spec.trials, self.spec.together):
            numbers = range(first, min(first + self.spec.together, self.spec.trials))
            known = self._trials()
            if any(number >= len(known) or not known[number].state.is_finished() for number in numbers):
                for number in numbers:
                    self._choose(number)
                known = self._trials()
                return [(number, self.values(number)) for number in numbers if not known[number].state.is_finished()]
        return []

    def values(self, number: int) -> dict[str, Any]:
        """The settings of a shape that was chosen, by dotted path."""
        from ...student.sweep.optuna_parts import values

        return values(self._sweep, self._trials()[number].params)

    def cost(self, number: int) -> dict[str, float] | None:
        """What was measured of a shape; None before."""
        found: dict[str, float] | None = self._trials()[number].user_attrs.get("costs")
        return found

    def note_cost(self, number: int, costs: Mapping[str, float]) -> None:
        """Keep what was measured: a latency is not measured twice."""
        self._trial(number).set_user_attr("costs", dict(costs))

    def tell(self, number: int, outcome: Outcome, reason: str | None, figure: float | None = None) -> None:
        """What came of a shape: its figure where it finished, and why it did not elsewhere."""
        from optuna.trial import TrialState

        trial = self._trial(number)
        trial.set_user_attr("outcome", outcome)
        trial.set_user_attr("reason", reason)
        if figure is not None:
            costs = self.cost(number)
            assert costs is not None
            self._study.tell(number, [figure, costs[self.spec.cost]])
        else:
            state = TrialState.FAIL if outcome == "failed" else TrialState.PRUNED
            self._study.tell(number, state=state)

    def points(self, name: Mapping[int, str]) -> list[ShapePoint]:
        """Every shape that is over, under the names given by number."""
        return [
            ShapePoint(
                name[one.number],
                self.values(one.number),
                one.user_attrs["outcome"],
                one.user_attrs["reason"],
                one.user_attrs.get("costs") or {},
                one.values[0] if one.values else None,
            )
            for one in self._trials()
            if one.state.is_finished()
        ]

    def chosen(self) -> list[int]:
        """Numbers of the shapes that were chosen so far."""
        return [one.number for one in self._trials() if self.spec.parameters.keys() <= one.params.keys()]

    def _choose(self, number: int) -> None:
        """Have the sampler choose what a shape lacks: a process may have been killed while it chose."""
        import optuna

        from ...student.sweep.optuna_parts import distributions

        known = self._trials()
        if number < len(known) and known[number].state.is_finished():
            return
        trial = self._trial(number) if number < len(known) else self._study.ask()
        assert isinstance(trial, optuna.trial.Trial)
        for path, found in distributions(self._sweep).items():
            trial._suggest(path, found)

    def _trial(self, number: int) -> Any:
        import optuna

        return optuna.trial.Trial(self._study, self._trials()[number]._trial_id)

    def _trials(self) -> "list[FrozenTrial]":
        return self._study.get_trials(deepcopy=False)
