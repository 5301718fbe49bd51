"""What pruning and int8 cost together: channels that go, exported in int8, beside the whole student in float.

A `cnn` with room learns the shipped recipe. Forms of it lose a half or two thirds of their channels on the way, ranked
by the Taylor expansion of the objective or by their size; `finished` begins as the whole student of its seed at the end
of its training, and trains once more as long while a half of its channels goes. Training, evaluation and exports are
those of the command line.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from figure import Figure
from held_out import lost
from shipping_runs import command
from teachers import RECIPE

from teachercache.stages.deploy.evaluation.record import read_record
from teachercache.stages.deploy.export.manifest import read_export

ALLOWED, SHARE = 2.0, 0.1  # points lost and share of the bytes, both of the whole student in float
GENTLY = {"steps": 4, "start": 0.2, "end": 0.6}
FORMS: Mapping[str, Mapping[str, Any] | None] = {
    "whole": None,
    "half-l2": {**GENTLY, "to": 0.5, "importance": "l2"},
    "half-taylor": {**GENTLY, "to": 0.5, "importance": "taylor"},
    "third-l2": {**GENTLY, "to": 0.34, "importance": "l2"},
}
FINISHED = {"to": 0.5, "steps": 4, "start": 0.05, "end": 0.35, "importance": "l2"}


@dataclass(frozen=True, slots=True)
class Size:
    widths: tuple[int, ...]
    steps: int
    labelled: int
    seeds: int
    shards: str


FULL = Size(widths=(32, 64, 128), steps=600, labelled=300, seeds=3, shards="*")
TINY = Size(widths=(4, 8), steps=20, labelled=100, seeds=1, shards="0000")


@dataclass(frozen=True, slots=True)
class Shipped:
    """One student: bytes of its ONNX file, and images that it names rightly in percent; both in float and in int8."""

    bytes: tuple[int, int]
    top1: tuple[float, float]


def measure(tiny: bool, scratch: Path) -> list[Figure]:
    """The figures of this benchmark."""
    size = TINY if tiny else FULL
    forms = [{"name": name, **({"prune": dict(prune)} if prune else {})} for name, prune in FORMS.items()]
    file, seeds = _trained("forms", recipe_form(size, forms), scratch), range(size.seeds)
    students = scratch / "forms" / "students"
    found = {name: {seed: _shipped(_trial(students, name, seed), file) for seed in seeds} for name in FORMS}
    again = [
        {"name": f"half-of-{seed}", "use": f"trained:{_trial(students, 'whole', seed)}", "prune": FINISHED}
        for seed in seeds
    ]
    file = _trained("finished", recipe_form(size, again, 1), scratch)
    students = scratch / "finished" / "students"
    found["finished"] = {seed: _shipped(_trial(students, f"half-of-{seed}", 0), file) for seed in seeds}
    return figures(found)


def recipe_form(size: Size, forms: Sequence[Mapping[str, Any]], seeds: int | None = None) -> dict[str, Any]:
    """The shipped recipe with forms of its `cnn` as its students, without controls."""
    content = yaml.safe_load(RECIPE.read_text())
    content["source"]["path"] = content["source"]["path"].replace("*", size.shards)
    content["train"] |= {"steps": size.steps, "seeds": list(range(seeds or size.seeds)), "controls": []}
    content["train"]["checkpoint_every"] = size.steps
    content["train"]["labelled"]["count"] = size.labelled
    cnn = next(one for one in content["students"] if one["name"] == "cnn") | {"args": {"widths": list(size.widths)}}
    bare = {name: value for name, value in cnn.items() if name != "args"}
    content["students"] = [{**(bare if "use" in form else cnn), **form} for form in forms]
    return content


def _trained(name: str, content: dict[str, Any], scratch: Path) -> Path:
    """The YAML file of a run that is finished; all of them share one cache."""
    file = scratch / f"{name}.yaml"
    content |= {"output": str(scratch / name), "cache": {**content["cache"], "path": str(scratch / "cache")}}
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    command("run", file)
    return file


def _trial(students: Path, name: str, seed: int) -> Path:
    return students / name / "distilled" / f"seed-{seed}"


def _shipped(student: Path, file: Path) -> Shipped:
    """Exported in int8, which also says what its float parent is."""
    if not (student / "export" / "onnx-int8").is_dir():
        command("export", student, "--to", "onnx", "--int8", "--config", file, "--agreement", 0)
    exported, record = read_export(student / "export" / "onnx-int8"), read_record(student)
    assert exported.quantisation is not None and record is not None
    top1 = 100 * record["top1"]
    return Shipped(
        (exported.quantisation["float_bytes"], exported.bytes), (top1, top1 + exported.quantisation["drift_points"])
    )


def figures(found: Mapping[str, Mapping[int, Shipped]]) -> list[Figure]:
    """Every form in float and in int8 beside the whole student in float."""
    whole = found["whole"]
    rows = []
    for name, ours in found.items():
        for place, precision in enumerate(("float", "int8")):
            if (name, precision) != ("whole", "float"):
                rows.append(
                    lost(f"{name}, {precision}: top-1", "whole in float", _top1(ours, place), _top1(whole, 0), ALLOWED)
                )
        rows.append(_bytes(name, ours, whole))
    return rows


def _top1(found: Mapping[int, Shipped], place: int) -> dict[int, float]:
    return {seed: one.top1[place] for seed, one in found.items()}


def _bytes(name: str, ours: Mapping[int, Shipped], whole: Mapping[int, Shipped]) -> Figure:
    """Bytes of the int8 file: the mean over seeds."""
    mine, others = (float(np.mean([one.bytes[place] for one in of.values()])) for of, place in ((ours, 1), (whole, 0)))
    plain = float(np.mean([one.bytes[0] for one in ours.values()]))
    return Figure(
        f"{name}, int8: bytes",
        f"{mine:,.0f}",
        f"whole in float: {others:,.0f}",
        mine / others,
        bar=f"<= {SHARE:g} of them",
        reached=mine / others <= SHARE,
        note=f"{mine / others:.1%}; its own float file has {plain:,.0f}",
    )
