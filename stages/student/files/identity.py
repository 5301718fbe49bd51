"""What makes a trial the same trial: its folder is only ever continued by the settings that began it."""

from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ...errors import StageError
from ...versions import library_versions
from ..inputs.shape import InputShape
from ..spec import StudentSpec, TrainSpec
from ..trial.trial import Trial, needed_signals
from .durable_files import read_json, write_errors, write_json

_DOCUMENT = "trial.json"
_STREAM = ("steps", "batch_size", "labelled", "window", "shuffle_seed")  # the settings of a batch and of its number
_NUMBERLESS = {"control", "memory"}  # settings of a student that change no number of a trial


def trial_identity(
    trial: Trial,
    train: TrainSpec,
    cache_fingerprint: Mapping[str, Any],
    inputs: Mapping[str, InputShape] | None = None,
    origin: str | None = None,
) -> dict[str, Any]:
    """All that a trial's numbers depend on; `inputs` are the shapes of its texts and arrays, of which each tokenizer's
    hash is one part, `origin` what the model is known by that a student is cut from. How often it logs, where it runs,
    where that model lies, and signals that it does not read are not among it."""
    shapes = {name: {**asdict(shape), "shape": list(shape.shape)} for name, shape in (inputs or {}).items()}
    return {
        **({"inputs": shapes} if shapes else {}),
        **({"origin": origin} if origin is not None else {}),
        "student": _placeless(trial.student.model_dump(mode="json", exclude=_NUMBERLESS)),
        "arm": trial.arm,
        "seed": trial.seed,
        "train": train.model_dump(mode="json", include=set(_STREAM)),
        "cache": _with_signals(cache_fingerprint, needed_signals([trial])),
    }


def _placeless(student: dict[str, Any]) -> dict[str, Any]:
    """The settings of a student without the place of what it is cut from, whose fingerprint says more."""
    if student["use"].startswith(("pretrained:", "trained:")):
        return {**student, "use": student["use"].partition(":")[0]}
    if student["use"] != "teacher":
        return student
    return {**student, "args": {name: value for name, value in student["args"].items() if name != "model"}}


def claim_folder(folder: Path, identity: Mapping[str, Any]) -> None:
    """Write `trial.json` in a new folder, or check that the one there says the same.

    Raises StageError naming every field that differs, and how to begin anew.
    """
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    found = read_json(folder / _DOCUMENT)
    if found is None:
        write_json(folder / _DOCUMENT, {"format": 1, **identity, "versions": library_versions()})
        return
    found = _with_defaults(found)
    read = identity["cache"].get("signals", {})
    if "signals" in found.get("cache", {}):  # what was noted of other signals says nothing about this trial
        found = {**found, "cache": _with_signals(found["cache"], read)}
    lines = [line for key in identity for line in _differences(found.get(key), identity[key], key)]
    if lines:
        listing = "\n  ".join(lines)
        raise StageError(
            f"{folder} was trained with other settings:\n  {listing}\n"
            f"Choose another `output`, undo the change, or delete that folder to train it anew."
        )


def _with_defaults(found: dict[str, Any]) -> dict[str, Any]:
    """What an older version noted, with the settings that it did not know yet at what they are when left out."""
    try:
        student = StudentSpec.model_validate(found["student"]).model_dump(mode="json", exclude=_NUMBERLESS)
        train = TrainSpec.model_validate(found["train"]).model_dump(mode="json", include=set(_STREAM))
    except (KeyError, ValidationError):
        return found  # settings that there are no more: they differ, and are shown as they were noted
    return {**found, "student": student, "train": train}


def _with_signals(fingerprint: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """The fingerprint of a cache that keeps those signals alone."""
    signals = {name: signal for name, signal in fingerprint.get("signals", {}).items() if name in names}
    return {**fingerprint, "signals": signals}


def _differences(found: Any, asked: Any, path: str) -> list[str]:
    """One line per field that differs, by dotted path. A field that is not there and one that is null are the same:
    a new setting that is off by default changes no trial that was begun before it."""
    if isinstance(found, Mapping) and isinstance(asked, Mapping):
        keys = dict.fromkeys([*found, *asked])
        pairs = ((found.get(key), asked.get(key), f"{path}.{key}") for key in keys)
        return [line for was, now, where in pairs for line in _differences(was, now, where)]
    if isinstance(found, list) and isinstance(asked, list) and len(found) == len(asked):
        pairs = ((was, now, f"{path}.{i}") for i, (was, now) in enumerate(zip(found, asked, strict=True)))
        return [line for was, now, where in pairs for line in _differences(was, now, where)]
    return [] if found == asked else [f"{path} was {_short(found)} and is now {_short(asked)}"]


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
