"""Runs of shipped recipes with one seed, and with a student of a tenth of the teacher's size, exported as a user would.

The tenth is a narrower form of one of the recipe's own students, with its terms; docs/recipes.md shows it. In the
recipe's own steps it trains beside the others; in several times as many it trains alone.
"""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from teachers import ROOT

EXPORTS: Mapping[str, tuple[str, ...]] = {
    "onnx": (),
    "onnx-int8": ("--int8", "--agreement", "0"),
}  # judged, not refused


@dataclass(frozen=True, slots=True)
class Tenth:
    """`of` is the student that it is a narrower form of; `args` replace those of that student. `longer` says how many
    times the recipe's steps the longer of its two trainings takes."""

    of: str
    args: Mapping[str, Any]
    rate: float
    longer: int


TENTHS = {
    "clip_small": Tenth(
        "fifth",
        {
            "text_config": {"hidden_size": 28, "intermediate_size": 56},
            "vision_config": {"hidden_size": 44, "intermediate_size": 88},
        },
        5e-3,
        8,
    ),
    "agent": Tenth("relation", {"width": 24, "mlp": 48, "vision_widths": [8, 16, 24, 40]}, 4e-3, 5),
}


@dataclass(frozen=True, slots=True)
class Size:
    """`steps` None for the recipe's own; `shards` of the training source, None for all; `own`: whether all of a
    recipe's students are trained too; what is timed is called `calls` times in each of `rounds`."""

    steps: int | None
    shards: str | None
    own: bool
    rounds: int
    calls: int


def make_run(recipe: str, times: int, size: Size, scratch: Path) -> Path:
    """Run a form of a recipe, `times` its steps long, and export its students: the YAML file of that run. All of it by
    the command line."""
    name = f"{recipe}-{times}"
    file, output = scratch / f"{name}.yaml", scratch / name
    file.write_text(yaml.safe_dump(recipe_form(recipe, times, size, output), sort_keys=False))
    command("run", file)
    for folder in sorted((output / "students").glob("*/distilled/seed-0")):
        for options in EXPORTS.values():
            command("export", folder, "--to", "onnx", "--config", file, *options)
    return file


def recipe_form(recipe: str, times: int, size: Size, output: Path) -> dict[str, Any]:
    """The recipe with one seed, without controls and with the tenth; longer, with the tenth alone."""
    content = yaml.safe_load((ROOT / "pipeline" / "recipes" / recipe / "recipe.yaml").read_text())
    content["output"] = str(output)
    content["train"] |= {"seeds": [0], "controls": [], "steps": size.steps or times * content["train"]["steps"]}
    content["train"]["checkpoint_every"] = content["train"]["steps"]
    content["evaluate"].pop("ladder", None)  # without its rungs it is none
    if size.shards is not None:
        content["source"]["path"] = content["source"]["path"].replace("*", size.shards)
    students = [one for one in content["students"] if one.get("control") is None]
    content["students"] = [*(students if times == 1 else []), tenth_of(students, TENTHS[recipe])]
    return content


def tenth_of(students: list[dict[str, Any]], tenth: Tenth) -> dict[str, Any]:
    """The student called `tenth`."""
    parent = next(one for one in students if one["name"] == tenth.of)
    args = {
        name: {**parent["args"][name], **value} if isinstance(value, Mapping) else value
        for name, value in tenth.args.items()
    }
    return {**parent, "name": "tenth", "args": {**parent["args"], **args}, "optimizer": {"lr": tenth.rate}}


def command(*words: object) -> None:
    """The command line in a process of its own, in the root of the repository. Raises RuntimeError where it fails."""
    said = [sys.executable, "-m", "teachercache", *map(str, words)]
    done = subprocess.run(said, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(said)} failed: {done.stdout[-500:]} {done.stderr[-1500:]}")
