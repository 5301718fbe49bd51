"""rules.json: concepts with the thresholds of one exported file. Another file of the same student, int8 for one, has
other scores, and is refused until its own thresholds are fitted.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ....errors import StageError
from ....student.files.durable_files import read_json, write_json
from ...bench.subject import find_subjects
from ...predict import Predictor
from ..search.index import unit
from .concept import Concept, Fitted

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Rules:
    """Concepts, what was fitted of each, and the model that they are of: its folder, and the hash of its files."""

    concepts: tuple[Concept, ...]
    fitted: Mapping[str, Fitted]
    model: str
    files: str


def read_concepts(path: Path) -> tuple[Concept, ...]:
    """Concepts of a YAML file: {name: {texts: [...], others: [...]}}. Raises StageError naming what is wrong."""
    try:
        content: Any = yaml.safe_load(path.read_text("utf-8"))
        found = tuple(Concept(str(n), _texts(one["texts"]), _texts(one["others"])) for n, one in content.items())
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise StageError(
            f"{path} names no concepts ({error!r}): write name: {{texts: [a gun, a rifle], others: [a tool, a toy]}}"
        ) from error
    if not found:
        raise StageError(f"{path} names no concept")
    return found


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
        raise TypeError("texts and others are lists of texts")
    return tuple(value)


def concept_scores(predictor: Predictor, concepts: Sequence[Concept], pictures: np.ndarray) -> np.ndarray:
    """float64 (n, concepts): of pictures as unit vectors (n, D) the cosine with each concept's mean text, less that
    with the mean of what it is not."""
    columns = [_direction(predictor, one.texts) - _direction(predictor, one.others) for one in concepts]
    scores: np.ndarray = pictures.astype(np.float64) @ np.stack(columns, axis=1)
    return scores


def embed_pictures(predictor: Predictor, items: Sequence[object]) -> np.ndarray:
    """Unit vectors float32 (n, D). Raises StageError for a model without an image tower."""
    said = predictor.predict(list(items), "image")
    if "image_embeds" not in said:
        raise StageError(f"{predictor.model.place} gives no image_embeds: concepts need a student of two towers")
    return unit(said["image_embeds"])


def _direction(predictor: Predictor, texts: Sequence[str]) -> np.ndarray:
    mean: np.ndarray = unit(predictor.predict(list(texts), "text")["text_embeds"]).astype(np.float64).mean(axis=0)
    return mean


def write_rules(path: Path, rules: Rules) -> None:
    """Write rules.json whole. Raises StageFailed when the disk does not take it."""
    concepts = [asdict(one) for one in rules.concepts]
    fitted = {name: one.document() for name, one in rules.fitted.items()}
    write_json(
        path, {"format": _FORMAT, "model": rules.model, "files": rules.files, "concepts": concepts, "fitted": fitted}
    )


def read_rules(path: Path, model: Path) -> Rules:
    """Rules that were fitted for this very model. Raises StageError for those of another file."""
    content = read_json(path)
    if content is None:
        raise StageError(f"there is no {path}: `teachercache moderate fit` makes it")
    if content.get("format") != _FORMAT:
        raise StageError(f"{path} is of another version: fit it anew")
    files = model_files(model)
    if content["files"] != files:
        raise StageError(
            f"{path} was fitted for {content['model']}, and {model} gives other scores: fit its own thresholds with "
            "`teachercache moderate fit`"
        )
    concepts = tuple(Concept(one["name"], tuple(one["texts"]), tuple(one["others"])) for one in content["concepts"])
    return Rules(concepts, {n: Fitted.of(one) for n, one in content["fitted"].items()}, content["model"], files)


def model_files(model: Path) -> str:
    """sha256 of the files that make a model answer as it does."""
    (subject,) = find_subjects([model])
    files = [one["file"] for one in subject.request.get("graphs", ())] or [str(model / "student.safetensors")]
    state = hashlib.sha256()
    for name in sorted(files):
        state.update(Path(name).read_bytes())
    return state.hexdigest()
