"""Measures models one after another and puts what was found into one table: bench.json.

A variant is held against its float parent: the checkpoint in the same call that it was exported from, or else the
float32 export of it. Without a labelled set accuracy, agreement and flips are null.
"""

import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..predict.open import open_predictor
from ..predict.predictor import Predictor
from .cost import measure_cost
from .judging import accuracy, agreement, flips
from .labelled import LabelledSet
from .spec import BenchSpec
from .subject import Subject, find_subjects

FORMAT, DOCUMENT = 1, "bench.json"
Note = Callable[[str], None]


def bench_models(
    folders: Sequence[Path], spec: BenchSpec, labelled: LabelledSet | None = None, note: Note = lambda text: None
) -> dict[str, Any]:
    """What bench.json says of models, in the order given. Raises StageError for one that cannot be read or judged,
    StageFailed for one that cannot be measured."""
    subjects = find_subjects(folders)
    rows = [_row(subject, subjects, spec, note) for subject in subjects]
    for row in rows:  # an export has the work of the student that it was made from
        row["macs"] = row["macs"] or next((one["macs"] for one in rows if one["model"] == row["parent"]), None)
    if labelled is not None:
        _judge(subjects, rows, labelled, spec, note)
    return {
        "format": FORMAT,
        "machine": {"system": platform.platform(), "cores": os.cpu_count(), "threads": spec.threads},
        "set": None if labelled is None else {"name": labelled.name, "samples": len(labelled.labels)},
        "false_positives": spec.false_positives,
        "models": rows,
        "teacher": None,
    }


def parent_of(subject: Subject, subjects: Sequence[Subject]) -> Subject | None:
    """The float model that a variant is held against; None for a float model itself that has no checkpoint here."""
    same = [one for one in subjects if one.weights == subject.weights and one is not subject and one.is_float]
    if subject.form == "checkpoint" or not same:
        return None
    return min(same, key=lambda one: one.form != "checkpoint")


def _row(subject: Subject, subjects: Sequence[Subject], spec: BenchSpec, note: Note) -> dict[str, Any]:
    note(f"measuring {subject.name}")
    parent = parent_of(subject, subjects)
    return {
        "model": subject.name,
        "form": subject.form,
        "parent": None if parent is None else parent.name,
        "bytes": subject.bytes,
        **measure_cost(subject, spec),
        **dict.fromkeys(("accuracy", "agreement", "flips")),
        **({} if subject.simulation is None else {"simulation": subject.simulation}),
    }


def _judge(
    subjects: Sequence[Subject], rows: Sequence[dict[str, Any]], labelled: LabelledSet, spec: BenchSpec, note: Note
) -> None:
    scores: dict[str, np.ndarray] = {}
    for subject in subjects:
        note(f"judging {subject.name}")
        predictor: Predictor = open_predictor(subject.folder, threads=spec.threads)
        scores[subject.name] = labelled.scores(predictor)
    for row in rows:
        own = scores[row["model"]]
        row["accuracy"] = accuracy(own, labelled.labels)
        if row["parent"] is not None:
            parent = scores[row["parent"]]
            row["agreement"] = agreement(own, parent)
            row["flips"] = flips(own, parent, labelled.labels, spec.false_positives)
