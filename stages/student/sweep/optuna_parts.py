"""Samplers and pruners of Optuna by name, and a sweep's parameters as its distributions. Optuna is imported here alone.

A sampler is seeded anew for each choice, from the sweep's seed, the trial's number and the setting: what it chooses
depends on these and on what was told before, and not on how often the process was killed.
"""

import inspect
import json
import warnings
from collections.abc import Mapping
from difflib import get_close_matches
from functools import partial
from typing import Any

from optuna import Study, logging, pruners, samplers
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState

from ...errors import StageError
from ..trial.randomness import derive_seed
from .spec import RangeSpec, SweepSpec
from .study_spec import StudySpec

SAMPLERS = {
    "tpe": "TPESampler",
    "random": "RandomSampler",
    "gp": "GPSampler",
    "cmaes": "CmaEsSampler",
    "nsgaii": "NSGAIISampler",
    "qmc": "QMCSampler",
    "brute-force": "BruteForceSampler",
}
PRUNERS = {
    "median": "MedianPruner",
    "percentile": "PercentilePruner",
    "halving": "SuccessiveHalvingPruner",
    "hyperband": "HyperbandPruner",
    "threshold": "ThresholdPruner",
}


class NumberedSampler(samplers.BaseSampler):
    """One of Optuna's samplers, made anew for each choice."""

    def __init__(self, spec: StudySpec, seed: int, place: str) -> None:
        logging.set_verbosity(logging.WARNING)
        self._spec, self._seed, self._place = spec, seed, place
        self._made()

    def _made(self, *parts: str | int) -> samplers.BaseSampler:
        """The sampler, seeded from what it chooses for. A QMC sampler has one sequence for all trials, and one seed."""
        known = () if self._spec.sampler == "qmc" else parts
        seed = derive_seed("study", self._seed, *known) % 2**32
        make = partial(getattr(samplers, SAMPLERS[self._spec.sampler]), seed=seed)
        return _made(make, self._spec.sampler_args, f"{self._place}.sampler")  # type: ignore[no-any-return]

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self._made(trial.number).before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._made(trial.number).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._made(trial.number).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._made(trial.number, param_name).sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        self._made(trial.number).after_trial(study, trial, state, values)


def pruner_of(spec: StudySpec, place: str) -> pruners.BasePruner:
    """The pruner that a study names, or one that never prunes. Raises StageError for arguments that it has not."""
    if spec.pruner is None:
        return pruners.NopPruner()
    return _made(getattr(pruners, PRUNERS[spec.pruner]), spec.pruner_args, f"{place}.pruner")  # type: ignore[no-any-return]


def distributions(sweep: SweepSpec) -> dict[str, BaseDistribution]:
    """What a sampler chooses from, by dotted path. Values of a list go by their JSON, as Optuna takes no lists."""
    return {path: _distribution(values) for path, values in sweep.parameters.items()}


def values(sweep: SweepSpec, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """What was chosen, as settings: numbers of a range with four digits, as a random sweep has them."""
    return {path: _value(spec, chosen[path]) for path, spec in sweep.parameters.items()}


def _distribution(found: tuple[Any, ...] | RangeSpec) -> BaseDistribution:
    if not isinstance(found, RangeSpec):
        return CategoricalDistribution(list(dict.fromkeys(json.dumps(value) for value in found)))
    if found.integer:
        return IntDistribution(int(found.low), int(found.high), log=found.log)
    return FloatDistribution(found.low, found.high, log=found.log)


def _value(spec: tuple[Any, ...] | RangeSpec, chosen: Any) -> Any:
    if not isinstance(spec, RangeSpec):
        return json.loads(chosen)
    return int(chosen) if spec.integer else min(max(float(f"{chosen:.4g}"), spec.low), spec.high)


def _made(make: Any, args: Mapping[str, Any], place: str) -> Any:
    """Call it. Raises StageError for arguments that it has not, values that it refuses, and a package that it lacks."""
    known = list(inspect.signature(make).parameters)
    for name in args:
        if name not in known:
            near = get_close_matches(name, known, 1, 0.5)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise StageError(f"{place}_args: it has no argument {name!r}; {hint}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # who names a sampler knows which
            return make(**args)
    except ImportError as error:
        raise StageError(f"{place}: it needs another package ({error})") from error
    except (TypeError, ValueError) as error:
        raise StageError(f"{place}: {error}") from error
