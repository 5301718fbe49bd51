"""Samples whose label is probably wrong: the teacher, over all views, is surer of another class."""

from dataclasses import dataclass

import numpy as np

from .answers import Answers


@dataclass(frozen=True, slots=True)
class Suspects:
    """`samples` (n,) numbers of all labelled samples, most suspect first; `score` (n,) p(label) minus the largest other
    probability, -1 to 1, mean over views of this sample alone; `suggested` (n,) the class the teacher names;
    `estimated` how many labels are wrong by confident learning."""

    samples: np.ndarray
    score: np.ndarray
    suggested: np.ndarray
    estimated: int


def rank_suspects(answers: Answers) -> Suspects:
    """Rank by normalised margin (Northcutt et al. 2021, "Confident learning", arXiv 1911.00068, section 3.2).

    A teacher that was trained on the very labels it judges has learnt their errors by heart: then few are found.
    """
    samples = answers.labelled
    labels, top, p = answers.labels[samples], answers.top[samples], answers.probability[samples]
    own, alone = answers.label_probability[samples], ~answers.mixed[samples]
    other = np.where(top[..., 0] == labels[:, None], p[..., 1], p[..., 0])
    score = np.mean(own - other, axis=1, where=alone)
    suggested = _majority(top[..., 0], np.where(alone, p[..., 0], -1.0), labels)
    order = np.argsort(score, kind="stable")
    return Suspects(samples[order], score[order], suggested[order], _estimate(own[:, 0], top[:, 0], p[:, 0], labels))


def _majority(top: np.ndarray, p: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """For each sample the class of its surest view that is not the label; the label where no view says another."""
    surest = np.where(top != labels[:, None], p, -1.0)
    best = np.argmax(surest, axis=1)
    rows = np.arange(len(labels))
    found: np.ndarray = np.where(surest[rows, best] >= 0, top[rows, best], labels)
    return found


def _estimate(own: np.ndarray, top: np.ndarray, p: np.ndarray, labels: np.ndarray) -> int:
    """Labels off the diagonal of the confident joint: another class is named at least as surely as it is on average
    where it is the label."""
    counts = np.bincount(labels)
    threshold = np.bincount(labels, own) / np.maximum(counts, 1)
    known = top[:, 0] < len(threshold)
    limit = np.where(known, threshold[np.where(known, top[:, 0], 0)], np.inf)
    return int(np.sum((top[:, 0] != labels) & (p[:, 0] >= limit)))
