"""A study: a sweep whose next trials Optuna chooses by what came of those before. Its journal is one file.

Trials are chosen in rounds of `together`: round r is trials r * together, ... of the study. A process takes a whole
round, and tells of it when its trials are over; others take other rounds, here or on a machine that sees the file.
What was chosen, and what a pruner has decided, stands in the journal: a run that was killed goes on with it.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from math import inf, isfinite
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from ...errors import StageError
from ..files.durable_files import read_json, write_errors
from ..files.lock import Patience, folder_lock
from ..files.saved import is_saved
from ..spec import StudentSpec, TrainSpec
from ..trial.trial import Trial
from .score import score

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

_JOURNAL = "journal.log"
_LOCK_SECONDS = 600.0


class SweepStudy:
    """The study of a student, in its folder. Raises StageError without Optuna, and for a study of other settings."""

    def __init__(self, student: StudentSpec, folder: Path, train: TrainSpec) -> None:
        assert student.sweep is not None
        self.student, self.sweep, self.spec = student, student.sweep, student.sweep.led
        self.folder, self.train, self.place = folder, train, f"students.{student.name}.sweep.study"
        if find_spec("optuna") is None:
            raise StageError(f"{self.place}: Optuna is not installed; pip install 'teachercache[sweep]'")
        self._opened: Study | None = None

    def chosen(self) -> dict[int, dict[str, Any]]:
        """The settings of every trial that was chosen, by its number from 0. Of a study that has not begun those of the
        first round, as they will be; nothing is written."""
        if self._opened is None and not (self.folder / _JOURNAL).exists():
            study = self._open(None)
            for number in self._round(0):
                self._choose(study, number)
        else:
            study = self._study()
        return {one.number: self._settings(one) for one in study.get_trials(deepcopy=False) if self._is_whole(one)}

    def take_round(self, held: ExitStack) -> tuple[int, ...]:
        """Choose the trials of the first round that is neither over nor another process's, and hold it with `held`.
        Their numbers; () when no round is left."""
        with write_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with folder_lock(self.folder, Patience(monotonic() + _LOCK_SECONDS)):
            study = self._study()
            for first in range(0, self.sweep.trials or 0, self.spec.together):
                numbers = self._round(first)
                if not self._over().issuperset(numbers) and self._held(first, held):
                    for number in numbers:
                        self._choose(study, number)
                    return tuple(numbers)
        return ()

    def tell(self, trials: Sequence[Trial], students: Path, numbers: Sequence[int]) -> bool:
        """Tell the study of each student whose trials are all over. Whether it then knows of all trials `numbers`."""
        from optuna.trial import TrialState

        for number, own in self._by_number(trials).items():
            if any(not _is_over(one.folder(students)) for one in own):
                continue
            found = score(own[0].student.name, own, students, self.spec.by, self.train.steps)
            stopped = any((one.folder(students) / "stopped.json").exists() for one in own)
            if stopped:
                self._study().tell(number, state=TrialState.PRUNED, skip_if_finished=True)
            elif found is None or not isfinite(found) or not all(is_saved(one.folder(students)) for one in own):
                self._study().tell(number, state=TrialState.FAIL, skip_if_finished=True)
            else:
                self._study().tell(number, found, skip_if_finished=True)
        return self._over().issuperset(numbers)

    def has_finished(self) -> bool:
        """Whether some trial came to its end."""
        from optuna.trial import TrialState

        return bool(self._study().get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))

    def prunes(self, trials: Sequence[Trial], students: Path, step: int) -> dict[str, str]:
        """{student: why} of the students among `trials` that the pruner gives up at `step`; each is asked of once."""
        import optuna

        found: dict[str, str] = {}
        for number, own in self._by_number(trials).items():
            name, value = own[0].student.name, score(own[0].student.name, own, students, self.spec.by, step)
            known = self._frozen(number)
            if value is None or known is None or known.user_attrs.get("judged", 0) >= step:
                continue
            trial = optuna.trial.Trial(self._study(), known._trial_id)
            if isfinite(value) and step not in known.intermediate_values:
                trial.report(value, step)
            if value == inf or trial.should_prune():
                found[name] = f"given up by the pruner {self.spec.pruner} at step {step}: {self.spec.by} {value:.4g}"
            else:
                trial.set_user_attr("judged", step)
        return found

    def _over(self) -> set[int]:
        return {one.number for one in self._study().get_trials(deepcopy=False) if one.state.is_finished()}

    def _round(self, first: int) -> range:
        return range(first, min(first + self.spec.together, self.sweep.trials or 0))

    def _held(self, first: int, held: ExitStack) -> bool:
        try:
            held.enter_context(folder_lock(self.folder / f"round-{first // self.spec.together + 1:03d}"))
        except StageError:  # another process trains it
            return False
        return True

    def _choose(self, study: "Study", number: int) -> None:
        """Have the sampler choose what a trial lacks: a process may have been killed while it chose."""
        import optuna

        from .optuna_parts import distributions

        trials = study.get_trials(deepcopy=False)
        trial = optuna.trial.Trial(study, trials[number]._trial_id) if number < len(trials) else study.ask()
        if number < len(trials) and trials[number].state.is_finished():
            return
        for path, found in distributions(self.sweep).items():
            trial._suggest(path, found)

    def _settings(self, trial: "FrozenTrial") -> dict[str, Any]:
        from .optuna_parts import values

        return values(self.sweep, trial.params)

    def _is_whole(self, trial: "FrozenTrial") -> bool:
        return self.sweep.parameters.keys() <= trial.params.keys()

    def _frozen(self, number: int) -> "FrozenTrial | None":
        trials = self._study().get_trials(deepcopy=False)
        return trials[number] if number < len(trials) else None

    def _by_number(self, trials: Iterable[Trial]) -> Mapping[int, list[Trial]]:
        """Trials of this study by the number of their student, in order."""
        found: dict[int, list[Trial]] = {}
        for trial in trials:
            name, _, number = trial.student.name.rpartition("-")
            if trial.student.swept is not None and name == self.student.name:
                found.setdefault(int(number) - 1, []).append(trial)
        return dict(sorted(found.items()))

    def _study(self) -> "Study":
        if self._opened is None:
            self._opened = self._open(self.folder / _JOURNAL)
        return self._opened

    def _open(self, journal: Path | None) -> "Study":
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        from .optuna_parts import NumberedSampler, pruner_of

        sampler, pruner = NumberedSampler(self.spec, self.sweep.seed, self.place), pruner_of(self.spec, self.place)
        storage = None if journal is None else JournalStorage(JournalFileBackend(str(journal)))
        study = optuna.create_study(
            storage=storage, sampler=sampler, pruner=pruner, study_name=self.student.name, load_if_exists=True
        )
        asked = self.sweep.model_dump(mode="json", include={"parameters", "seed"})
        asked["study"] = self.spec.model_dump(mode="json")
        known = study.user_attrs.get("settings")
        if known is None:
            study.set_user_attr("settings", asked)
        elif known != asked:
            other = ", ".join(key for key in asked if known.get(key) != asked[key])
            raise StageError(
                f"{self.folder}: this study was begun with other settings of students.{self.student.name}.sweep "
                f"({other}); undo the change, or choose another `output`"
            )
        return study


def _is_over(folder: Path) -> bool:
    return is_saved(folder) or any(read_json(folder / name) is not None for name in ("stopped.json", "failed.json"))
