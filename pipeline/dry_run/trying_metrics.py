"""The dry run of evaluation: students that took a few steps, and the teacher, are judged on a few held-out samples.

What a metric names and nobody says, and shapes that do not meet, are said before the training and not after it.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from ...cache import Cache, open_cache
from ...stages.deploy.evaluation.answers import predict
from ...stages.deploy.evaluation.candidate import read_candidate
from ...stages.deploy.evaluation.evaluate_teacher import teacher_said
from ...stages.deploy.evaluation.held_out import HeldOut
from ...stages.deploy.evaluation.held_out_sets import HeldOutSets, prompt_metrics
from ...stages.deploy.evaluation.judgement import judgement
from ...stages.student.stream.join import Join
from ...stages.teacher.job import CacheJob
from ...stages.teacher.runner import build_cache
from ..building import held_out_jobs
from ..config import Config
from .samples import FewSamples


def build_few(config: Config, samples: int, folder: Path) -> HeldOutSets:
    """Caches of a few samples of every held-out set, below a folder. Raises what the run itself would have met."""
    few = {name: _few(job, samples, folder / name) for name, job in held_out_jobs(config).items()}
    metrics, prompts = config.evaluate.chosen_metrics, config.evaluate.prompts
    read = {name: prompt_metrics(metrics, name)[:1] if name in prompts else metrics for name in few}
    found = {name: HeldOut(*_opened(few[name]), read[name], name) for name in few if read[name]}
    sets = {name: one for name, one in found.items() if name not in prompts}
    return HeldOutSets(sets, {name: one for name, one in found.items() if name in prompts})


def try_metrics(sets: HeldOutSets, students: Sequence[Path], device: torch.device) -> None:
    """Judge the students in these folders, and the teacher. Raises StageError for what evaluation could not do."""
    candidates = [read_candidate(folder) for folder in students]
    said = predict(candidates, sets, len(sets.main), device, lambda done, total: None, lambda: False)
    for one in [*said, teacher_said(sets, len(sets.main))]:
        judgement(one, sets)


def _few(job: CacheJob, samples: int, root: Path) -> CacheJob:
    few = replace(job, root=root, source=FewSamples(job.source, samples))
    build_cache(few)
    return few


def _opened(job: CacheJob) -> tuple[Cache, Join]:
    cache = open_cache(job.root)
    return cache, Join(cache, job.source, job.policy)
