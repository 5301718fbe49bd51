"""Makes the sample shards of `data/samples/glosses` from Debian's package `wordnet-base`: definitions and their topic.

    python -m teachercache.pipeline.recipes.text.make_samples [--package DIR] [--output DIR]

The same bytes at each run. A definition that stands twice is left out, so none is in two splits. It downloads nothing
and writes no card.
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ..emoji.drawing_lots import shuffled
from ..sample_shards import write_shards

PACKAGE = Path("/usr/share/wordnet")
SAMPLES = Path("data/samples/glosses")
# Lexicographer files of WordNet's nouns: their number and what they hold.
TOPICS = {
    "04": "act",
    "05": "animal",
    "06": "artifact",
    "07": "attribute",
    "08": "body",
    "10": "communication",
    "13": "food",
    "15": "location",
    "18": "person",
    "20": "plant",
    "26": "state",
    "27": "substance",
}
_LABELLED, _TEST = 50, 50  # of each topic
_POOL = 2400  # definitions without a label
_TRAIN_SHARDS, _LONGEST = 6, 200  # letters of a definition


@dataclass(frozen=True, slots=True)
class Gloss:
    """A definition and the number of its topic in TOPICS; `offset` is where it stands in the package's file."""

    offset: str
    text: str
    topic: int


@dataclass(frozen=True, slots=True)
class Splits:
    """`rest` is what is not shipped: the teacher learns from it."""

    labelled: list[Gloss]
    pool: list[Gloss]
    test: list[Gloss]
    rest: list[Gloss]


def read_glosses(package: Path = PACKAGE) -> list[Gloss]:
    """Every noun's definition of the topics, without its examples. Exits with what to install when it is missing."""
    path = package / "data.noun"
    if not path.is_file():
        raise SystemExit(
            f"{path} is missing. Install the Debian package (sudo apt-get install wordnet-base), or name the folder "
            "that holds WordNet 3.0's data.noun with --package."
        )
    numbers = {file: number for number, file in enumerate(TOPICS)}
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        fields = line.split(" ", 2)
        if not line.startswith(" ") and fields[1] in numbers:
            found.append(Gloss(fields[0], _definition(line.partition(" | ")[2]), numbers[fields[1]]))
    counts = Counter(gloss.text for gloss in found)
    return [gloss for gloss in found if counts[gloss.text] == 1 and 8 <= len(gloss.text) <= _LONGEST]


def split_glosses(glosses: list[Gloss]) -> Splits:
    """Labelled and test definitions are balanced; the pool is drawn without looking at the topic."""
    order = shuffled(glosses, "glosses")
    labelled: list[Gloss] = []
    test: list[Gloss] = []
    rest: list[Gloss] = []
    taken: Counter[int] = Counter()
    for gloss in order:
        taken[gloss.topic] += 1
        place = taken[gloss.topic]
        (labelled if place <= _LABELLED else test if place <= _LABELLED + _TEST else rest).append(gloss)
    return Splits(labelled, rest[:_POOL], test, rest[_POOL:])


def make_samples(
    package: Annotated[Path, typer.Option(help="folder of WordNet's data.noun")] = PACKAGE,
    output: Annotated[Path, typer.Option(help="folder of the shards")] = SAMPLES,
) -> None:
    """Writes train-*.tar and test-*.tar."""
    splits = split_glosses(read_glosses(package))
    train = [_sample("train", gloss, True) for gloss in splits.labelled]
    train += [_sample("train", gloss, False) for gloss in splits.pool]
    size = write_shards(output, "train", shuffled(train, "glosses", "train"), _TRAIN_SHARDS)
    test = [_sample("test", gloss, True) for gloss in splits.test]
    size += write_shards(output, "test", shuffled(test, "glosses", "test"), 1)
    print(
        f"{output}: {len(splits.labelled)} labelled and {len(splits.pool)} unlabelled definitions, {len(splits.test)} "
        f"test; {len(splits.rest)} not shipped; {size:,} bytes"
    )


def _definition(gloss: str) -> str:
    """What stands before the examples, which are in quotation marks."""
    return re.split(r'[;,:]?\s*"', gloss)[0].strip(" ;")


def _sample(split: str, gloss: Gloss, labelled: bool) -> dict[str, Any]:
    sample: dict[str, Any] = {"__key__": f"{split}-{gloss.offset}", "txt": gloss.text.encode()}
    return {**sample, "cls": str(gloss.topic).encode()} if labelled else sample


if __name__ == "__main__":
    typer.run(make_samples)
