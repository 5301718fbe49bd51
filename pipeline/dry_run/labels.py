"""Whether a source has the labels that a configuration asks for: class numbers, and label fields of the samples.

Headers and the fields themselves are read, and no image. What the numbers are, training says before its first step.
"""

from collections.abc import Collection, Iterator

from ...data import Sample, Source
from ...stages.errors import StageError
from ...stages.student.trial.trial import Trial, needed_fields, needs_labels
from ..config import CacheConfig, Config


def label_fields(config: CacheConfig, trials: Collection[Trial]) -> tuple[str, ...]:
    """The fields of the source that are labels: those that terms read, and by which the few labelled are chosen."""
    labelled = config.train.labelled if isinstance(config, Config) else None
    named = (*needed_fields(trials), *(labelled.fields or () if labelled else ()))
    return tuple(dict.fromkeys(name.partition(".")[0] for name in named))


def check_labels(config: Config, trials: Collection[Trial], source: Source) -> tuple[int, int]:
    """Samples, and how many of them have a class number. Raises StageError when too few have what the terms read."""
    labels = [source.open(shard).labels for shard in source.shards()]
    samples, labelled = sum(map(len, labels)), int(sum((found >= 0).sum() for found in labels))
    _check_classes(config, trials, samples, labelled)
    wanted = label_fields(config, trials)
    if wanted:
        _check_fields(config, wanted, source, samples)
    return samples, labelled


def _check_classes(config: Config, trials: Collection[Trial], samples: int, labelled: int) -> None:
    asked = config.train.labelled
    if asked is not None and asked.fields is None and labelled < asked.count:
        raise StageError(
            f"train.labelled.count is {asked.count}, and only {labelled} samples of the source have a label; where "
            "labels are fields, name them under train.labelled.fields"
        )
    if asked is None and labelled < samples and needs_labels(trials):
        raise StageError(
            f"{samples - labelled} of {samples} samples have no label, and a term that reads labels needs one: set "
            "train.labelled.count to train with the labels there are, or drop the term"
        )


def _check_fields(config: Config, wanted: tuple[str, ...], source: Source, samples: int) -> None:
    there = sum(all(name in sample.fields for name in wanted) for sample in _parts(source, wanted))
    asked = samples if config.train.labelled is None else config.train.labelled.count
    if there < asked:
        advice = "set train.labelled.count to train with those" if config.train.labelled is None else "lower the count"
        raise StageError(
            f"only {there} of {samples} samples have {' and '.join(wanted)}, which are labels, and {asked} are asked "
            f"for: {advice}, or drop the term"
        )


def _parts(source: Source, fields: tuple[str, ...]) -> Iterator[Sample]:
    for shard in map(source.open, source.shards()):
        yield from (shard.part(number, fields) for number in range(len(shard)))
