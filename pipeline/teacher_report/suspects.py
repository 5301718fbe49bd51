"""The samples whose label is most probably wrong: a list for every tool, pictures for the page."""

import csv
import io
from dataclasses import dataclass

import numpy as np

from ...cache import Cache
from ...stages.quality.quality import TeacherQuality
from ...stages.student.stream.join import Join
from ..report.thumbnail import png_uri


@dataclass(frozen=True, slots=True)
class SuspectPicture:
    """One sample: what its label says, what the teacher says, and its plain view as a data URI."""

    id: str
    label: str
    suggested: str
    score: float
    image: str
    side: int


def suspects_csv(quality: TeacherQuality, classes: tuple[str, ...]) -> bytes:
    """Every labelled sample, most suspect first: id, label, suggested, score (-1 surely wrong, 1 surely right)."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["id", "label", "suggested", "score"])
    suspects, answers = quality.suspects, quality.answers
    if suspects is not None:
        labels = answers.labels[suspects.samples].tolist()
        columns = (answers.ids[suspects.samples].tolist(), labels, suspects.suggested.tolist(), suspects.score.tolist())
        for sample, label, other, score in zip(*columns, strict=True):
            writer.writerow([sample, _name(classes, label), _name(classes, other), f"{score:.4f}"])
    return out.getvalue().encode()


def suspect_pictures(quality: TeacherQuality, cache: Cache, images: Join, most: int) -> list[SuspectPicture]:
    """The `most` most suspect samples that the teacher calls something else than their label does."""
    suspects = quality.suspects
    if suspects is None:
        return []
    chosen = np.flatnonzero(suspects.score < 0)[:most]
    samples = suspects.samples[chosen]
    views = images.views(samples * cache.manifest.views)
    classes, answers = cache.manifest.classes, quality.answers
    return [
        SuspectPicture(
            str(answers.ids[sample]),
            _name(classes, int(answers.labels[sample])),
            _name(classes, int(suspects.suggested[place])),
            float(suspects.score[place]),
            png_uri(view),
            view.shape[0],
        )
        for place, sample, view in zip(chosen, samples, views, strict=True)
    ]


def _name(classes: tuple[str, ...], number: int) -> str:
    return classes[number] if 0 <= number < len(classes) else str(number)
