"""From a run's folder to everything the report says: one frozen `Report`, which is also report.json."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from ...cache import Cache
from ...stages.deploy.metrics.figure_kind import FigureKind
from ...stages.student.stream.join import Join
from ...stages.versions import library_versions
from ..config import Config
from ..keeping.inspection import inspect_cache
from ..launching.cost import jobs_cost
from .bench import read_bench
from .disagreement import DisagreementSheet, disagreement_sheet
from .ladder import Ladder, build_ladder, labels_rung
from .ledger import KINDS, Ledger, build_ledger
from .results import ArmResult, TeacherResult, arm_results, teacher_result
from .set_results import Judged
from .trials import FailedTrial, read_trials
from .verdict import Verdict, verdict


@dataclass(frozen=True, slots=True)
class Report:
    """Everything on the page. `students` has one entry per student and arm, in the order of the configuration;
    `waiting` names the trials that are not trained yet; `sheet` is None without predictions or images."""

    name: str
    verdict: Verdict
    teacher: TeacherResult
    students: tuple[ArmResult, ...]
    failed: tuple[FailedTrial, ...]
    waiting: tuple[str, ...]
    samples: int
    cache: Mapping[str, Any]
    held_out: Mapping[str, Any]
    ledger: Ledger
    sheet: DisagreementSheet | None
    versions: Mapping[str, str]
    config: Mapping[str, Any]
    judged: Judged
    ladder: Ladder | None = None
    stopped: tuple[str, ...] = ()
    bench: Mapping[str, Any] | None = None

    @property
    def kind(self) -> FigureKind:
        """What the primary figure is."""
        return self.judged.kind

    def arm(self, student: str, arm: str) -> ArmResult | None:
        """The result of a student under an arm, if there is one."""
        return next((one for one in self.students if (one.student, one.arm) == (student, arm)), None)

    def arms(self, student: str) -> list[ArmResult]:
        """The results of a student."""
        return [one for one in self.students if one.student == student]

    @property
    def names(self) -> tuple[str, ...]:
        """The students, each once."""
        return tuple(dict.fromkeys(one.student for one in self.students))

    def swept(self, student: str) -> str:
        """What a sweep has set in a student, `optimizer.lr 0.001, args.depth 3`; empty without a sweep."""
        found = next((one.get("swept") for one in self.config["students"] if one["name"] == student), None)
        return ", ".join(f"{path} {value}" for path, value in (found or {}).items())


def collect_report(
    config: Config,
    cache: Cache,
    held_out: Cache,
    images: Join | None,
    others: Mapping[str, Cache] | None = None,
) -> Report:
    """Read a run's folder; `held_out` is the cache of the main set, `others` those of the other sets by name.

    Raises ReportError naming what is missing and the command that makes it, StageError naming the settings in which a
    trial differs from the configuration.
    """
    digests = {name: one.manifest.digest for name, one in (others or {}).items()}
    main, *_ = config.evaluate.named_sets
    judged = Judged(config.evaluate.figures, config.evaluate.primary_figure, main, digests)
    states = read_trials(config, cache, held_out, digests)
    teacher = teacher_result(config.run, held_out, judged)
    arms = arm_results(states, teacher, judged, labels_rung(config))
    return Report(
        name=config.name,
        verdict=verdict(arms, teacher, judged.kind),
        teacher=teacher,
        students=arms,
        failed=states.failed,
        stopped=states.stopped,
        waiting=tuple(trial.name for trial in states.waiting),
        samples=teacher.evaluation.samples,
        cache=inspect_cache(cache),
        held_out=inspect_cache(held_out),
        ledger=build_ledger(cache, states, config.train, jobs_cost(config.run)),
        sheet=disagreement_sheet(config.run, states.finished, arms, held_out, images, judged.kind.better),
        versions=library_versions(),
        config=config.model_dump(mode="json"),
        judged=judged,
        bench=read_bench(config.run),
        ladder=build_ladder(config, states.finished, judged),
    )


def report_json(report: Report) -> dict[str, Any]:
    """The report as JSON values; what is not finite becomes null, and the pictures are left to the page."""
    content: dict[str, Any] = _finite(asdict(report))
    content["teacher"] = {**content["teacher"]["facts"], **content["teacher"]["evaluation"]}
    content["ledger"]["kinds"] = dict(KINDS)
    for kind in (content["sheet"] or {}).get("kinds", ()):
        for one in kind["shown"]:
            del one["image"], one["side"]
    return content


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
