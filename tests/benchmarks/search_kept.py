"""What int8 costs a search: how many of the ten nearest pictures show what was asked for, by float, int8 and mixed.

    python tests/benchmarks/run.py search_kept                 # trains and exports a student first: minutes
    python tests/benchmarks/search_kept.py STUDENTS...         # of trials with export/onnx and export/onnx-int8

All shipped emoji are indexed as PNG files, and every caption of the held-out pictures `seen` is asked. A picture is
right when it is one of the caption's concept, of which there are three or four, so that P@10 can be 40 % at most.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from figure import Figure
from machine import describe_machine
from PIL import Image
from shipping_runs import TENTHS, Size, make_run
from table import print_table, wide_console
from teachers import ROOT

from teachercache.pipeline.config import load_config
from teachercache.pipeline.recipes.sample_shards import decoded, read_samples
from teachercache.stages.deploy.apps.search.index import SearchIndex, update_index

SAMPLES = ROOT / "data" / "samples" / "emoji"
SPLITS = ("train", "seen", "unseen-style", "unseen-concepts")
FULL = Size(steps=None, shards=None, own=False, rounds=1, calls=1)
TINY = Size(steps=2, shards="0000", own=False, rounds=1, calls=1)
COUNT, ALLOWED = 10, 0.5
FORMS = {"float": "onnx", "int8": "onnx-int8"}


@dataclass(frozen=True, slots=True)
class Pictures:
    """PNG files of two halves of all pictures, the concept of each file by its name, and texts with their concepts."""

    halves: tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]]
    queries: Sequence[tuple[str, str]]


def measure(tiny: bool, scratch: Path) -> list[Figure]:
    """The figures of this benchmark, of the recipe's student of a tenth of its teacher's size, trained for long."""
    file = make_run("clip_small", TENTHS["clip_small"].longer, TINY if tiny else FULL, scratch)
    student = load_config(file).run / "students" / "tenth" / "distilled" / "seed-0"
    return figures_of(student, shipped_pictures(40 if tiny else None), scratch)


def shipped_pictures(most: int | None = None) -> Pictures:
    """All shipped emoji and the captions of `seen`; the first `most` of each split."""
    names: list[dict[str, np.ndarray]] = [{}, {}]
    queries: list[tuple[str, str]] = []
    for split in SPLITS:
        for number, (key, members) in enumerate(read_samples(SAMPLES, split)):
            if number == most:
                break
            names[number % 2][f"{key}.png"] = decoded(members["webp"])
            if split == "seen":
                queries += [(text, concept(f"{key}.png")) for text in json.loads(members["json"])]
    return Pictures((names[0], names[1]), queries)


def concept(name: str) -> str:
    """Of a file `<split>-<concept>-<style>.png`."""
    split = max((one for one in SPLITS if name.startswith(f"{one}-")), key=len)
    return name.removeprefix(f"{split}-").rsplit("-", 1)[0]


def figures_of(student: Path, pictures: Pictures, scratch: Path) -> list[Figure]:
    """P@10 of every index asked by every form, and how many of the ten are those of float asked by float."""
    found = {
        f"{index} index asked by {asker}": _nearest(folder, student / "export" / FORMS[asker], pictures)
        for (index, folder), asker in product(_indexes(student, pictures, scratch).items(), FORMS)
    }
    plain = found.pop("float index asked by float")
    name = student.parents[1].name
    return [_figure(f"{name}: {what}", one, plain, pictures) for what, one in found.items()]


def _indexes(student: Path, pictures: Pictures, scratch: Path) -> dict[str, Path]:
    """One index by each form, and one of which each form filled a half."""
    makers = {"float": ("float", "float"), "int8": ("int8", "int8"), "mixed": ("float", "int8")}
    for index, forms in makers.items():
        root = scratch / f"pictures-{index}"
        root.mkdir(parents=True)
        for half, form in zip(pictures.halves, forms, strict=True):
            for name, pixels in half.items():
                Image.fromarray(pixels).save(root / name)
            update_index(scratch / index, root, student / "export" / FORMS[form])
    return {index: scratch / index for index in makers}


def _nearest(index: Path, model: Path, pictures: Pictures) -> list[list[str]]:
    """Names of the nearest files of each query, the nearest first."""
    opened = SearchIndex(index, model)
    return [[hit.path.name for hit in opened.by_text(text, COUNT)] for text, _ in pictures.queries]


def _figure(what: str, found: list[list[str]], plain: list[list[str]], pictures: Pictures) -> Figure:
    ours, reference = (_precision(one, pictures) for one in (found, plain))
    overlap = np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found, plain, strict=True)])
    first = np.mean([a[0] == b[0] for a, b in zip(found, plain, strict=True)])
    return Figure(
        f"{what}: P@{COUNT}",
        f"{ours:.2f} %",
        f"float asked by float: {reference:.2f} %",
        ours / reference,
        bar=f"within {ALLOWED:g} points",
        reached=abs(ours - reference) <= ALLOWED,
        note=f"{ours - reference:+.2f} points; {overlap:.1%} of the nearest are the same, {first:.1%} of the first",
    )


def _precision(found: list[list[str]], pictures: Pictures) -> float:
    """Percent of the nearest that show the concept of their query."""
    wanted = [what for _, what in pictures.queries]
    right = [[concept(name) == what for name in names] for names, what in zip(found, wanted, strict=True)]
    return 100 * float(np.mean([np.mean(one) for one in right]))


def main(words: list[str]) -> None:
    """The table of students that stand."""
    pictures, figures = shipped_pictures(), {}
    for word in words:
        with TemporaryDirectory() as scratch:
            figures[word] = figures_of(Path(word), pictures, Path(scratch))
    print_table(wide_console(), describe_machine(), figures)


if __name__ == "__main__":
    main(sys.argv[1:])
