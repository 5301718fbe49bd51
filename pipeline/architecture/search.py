"""Searches for a student's shape: rounds of shapes train side by side on one read of the cache, and are judged.

Everything stands in `<output>/architecture`. The same command again continues: what is over is not done again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import fmean

from ...cache import Cache
from ...stages.deploy.architecture.cost import above_limits, costs_of
from ...stages.deploy.architecture.front import FrontRungs, ShapePoint
from ...stages.deploy.architecture.spec import ArchitectureSpec
from ...stages.deploy.architecture.study import ShapeStudy
from ...stages.deploy.evaluation.answers import predict
from ...stages.deploy.evaluation.candidate import read_candidate
from ...stages.deploy.evaluation.held_out_sets import HeldOutSets, judged_outputs
from ...stages.deploy.evaluation.judgement import judgement
from ...stages.device import pick_device
from ...stages.errors import StageError, StageFailed
from ...stages.student.files.durable_files import read_json
from ...stages.student.files.lock import folder_lock
from ...stages.student.files.saved import is_saved
from ...stages.student.fleet import train_fleet
from ...stages.student.spec import StudentSpec, TrainSpec
from ...stages.student.stream.join import Join
from ...stages.student.sweep.expansion import numbered
from ...stages.student.trial.trial import Trial, plan_trials
from ..config import Config
from ..evaluating import open_sets
from ..jobs import open_joined
from ..students.training import open_stream, student_shape
from .settings import search_spec, searched_student, settings_of

Say = Callable[[str], None]


def search_folder(config: Config) -> Path:
    """Where a search keeps its study, its students and its result."""
    return config.run / "architecture"


def search_shapes(config: Config, stop: Callable[[], bool], say: Say) -> list[ShapePoint]:
    """Try every shape that is not over yet; all points, in the order in which they were chosen.

    Raises StageError for settings that cannot work and without Optuna, Interrupted once `stop` is true.
    """
    searched_student(config)
    cache, join = open_joined(config)
    held_out, folder = open_sets(config), search_folder(config)
    folder.mkdir(parents=True, exist_ok=True)
    with folder_lock(folder):
        search = _Search(config, cache, join, held_out, folder, stop, say)
        while found := search.study.next_round():
            search.round(dict(found))
        return search.points()


def shape_students(config: Config, points: Sequence[ShapePoint]) -> dict[str, StudentSpec]:
    """{name: settings} of the points."""
    student = searched_student(config)
    return {one.name: numbered(student, _number(one.name) + 1, dict(one.values)) for one in points}


@dataclass
class _Search:
    """A search while it runs."""

    config: Config
    cache: Cache
    join: Join
    held_out: HeldOutSets
    folder: Path
    stop: Callable[[], bool]
    say: Say
    students: dict[str, StudentSpec] = field(default_factory=dict)

    @cached_property
    def spec(self) -> ArchitectureSpec:
        return search_spec(self.config)

    @cached_property
    def study(self) -> ShapeStudy:
        figure = self.config.evaluate.figures[self.config.evaluate.primary_figure]
        return ShapeStudy(self.spec, self.folder, figure.better, settings_of(self.config))

    @property
    def train(self) -> TrainSpec:
        """The training without controls and halving, with as many seeds as shapes get."""
        train = self.config.train
        changes = {"seeds": train.seeds[: self.spec.seeds], "controls": (), "halving": None}
        return train.model_copy(update=changes)

    def points(self) -> list[ShapePoint]:
        """All shapes that are over."""
        return self.study.points({number: self._name(number) for number in self.study.chosen()})

    def round(self, chosen: Mapping[int, Mapping[str, object]]) -> None:
        """Train the shapes of a round that are within the limits, judge them, and tell the study of all."""
        within = {number: name for number in chosen if (name := self._within_limits(number)) is not None}
        if not within:
            return
        trials = self._trials(within)
        self._train(trials)
        for number, name in within.items():
            self._tell(number, [trial for trial in trials if trial.student.name == name])

    def _within_limits(self, number: int) -> str | None:
        """The name of a shape that can be trained; any other is told at once."""
        name = self._name(number)
        try:
            costs = self.study.cost(number) or self._costs(number)
        except (StageError, ValueError) as error:  # sizes that do not go together
            self.study.tell(number, "failed", str(error))
            self.say(f"{name} cannot be built: {error}")
            return None
        above = above_limits(costs, self.spec.limits)  # type: ignore[arg-type]
        if above is not None:
            self.study.tell(number, "too-costly", above)
            self.say(f"{name} is not trained: {above}")
        return name if above is None else None

    def _costs(self, number: int) -> dict[str, float]:
        student = self._student(number)
        shape = student_shape(self.config, self.cache)
        device = pick_device(self.config.train.device)
        [trial] = plan_trials([student], self.train.model_copy(update={"seeds": (0,)}), self._outputs)
        stream = open_stream(self.config, self.cache, self.join, [trial])
        from ...stages.student.trial.assembly import shape_of

        costs = {
            str(k): v for k, v in costs_of(student, shape_of(student, stream, shape), trial.outputs, device).items()
        }
        self.study.note_cost(number, costs)
        return costs

    def _train(self, trials: Sequence[Trial]) -> None:
        """One fleet, on one read; a round of which every trial fails is no reason to give up the others."""
        costs = {self._name(n): c[self.spec.cost] for n in self.study.chosen() if (c := self.study.cost(n)) is not None}
        rivals = self._trials({n: name for n in self.study.chosen() if (name := self._name(n)) in costs})
        trained = self.train
        try:
            train_fleet(
                trials,
                open_stream(self.config, self.cache, self.join, trials),
                student_shape(self.config, self.cache),
                self.folder / "students",
                trained,
                pick_device(trained.device),
                self.stop,
                rungs=FrontRungs(self.spec, trained, rivals, costs),
            )
        except StageFailed as error:
            if not all((trial.folder(self.folder / "students") / "failed.json").exists() for trial in trials):
                raise
            self.say(str(error))

    def _tell(self, number: int, trials: Sequence[Trial]) -> None:
        """Judge the trials of a shape and tell the study."""
        folders, name = [trial.folder(self.folder / "students") for trial in trials], self._name(number)
        stopped = next((found for one in folders if (found := read_json(one / "stopped.json"))), None)
        failed = next((found for one in folders if (found := read_json(one / "failed.json"))), None)
        if stopped is not None:
            self.study.tell(number, "stopped", stopped["reason"])
            self.say(f"{name} stopped: {stopped['reason']}")
        elif failed is not None or not all(map(is_saved, folders)):
            reason = str((failed or {}).get("reason", "it was not trained to the end"))
            self.study.tell(number, "failed", reason)
            self.say(f"{name} failed: {reason}")
        else:
            figure = self._figure(folders)
            self.study.tell(number, "finished", None, figure)
            self.say(f"{name} {self.config.evaluate.primary_figure} {figure:.4g} at {self._cost_words(number)}")

    def _figure(self, folders: Sequence[Path]) -> float:
        """The primary figure, a mean over seeds."""
        candidates = [read_candidate(folder) for folder in folders]
        device, spec = pick_device(self.config.train.device), self.config.evaluate
        said = predict(candidates, self.held_out, spec.batch_size, device, lambda done, total: None, self.stop)
        values = []
        for one in said:
            found = judgement(one, self.held_out)
            place = found["sets"][self.spec.judged_on] if self.spec.judged_on in found.get("sets", {}) else found
            values.append(float(place["figures"][spec.primary_figure]["value"]))
        return fmean(values)

    def _cost_words(self, number: int) -> str:
        costs = self.study.cost(number) or {}
        return f"{self.spec.cost} {costs[self.spec.cost]:,.6g}"

    def _trials(self, names: Mapping[int, str]) -> tuple[Trial, ...]:
        return plan_trials([self._student(number) for number in names], self.train, self._outputs)

    @property
    def _outputs(self) -> tuple[str, ...]:
        return judged_outputs(self.config.evaluate.chosen_metrics)

    def _student(self, number: int) -> StudentSpec:
        return numbered(searched_student(self.config), number + 1, self.study.values(number))

    def _name(self, number: int) -> str:
        return f"{self.spec.student}-{number + 1:02d}"


def _number(name: str) -> int:
    return int(name.rpartition("-")[2]) - 1
