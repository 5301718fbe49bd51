"""What `teachercache predict` says of each item, as JSON and as a table."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from ...stages.deploy.predict import Predictor
from ...stages.deploy.predict.classes import likeliest
from ...stages.deploy.predict.picture_files import picture_files
from ...stages.deploy.predict.writer import WriterModel
from ..errors import ConfigError


def asked_items(predictor: Predictor, words: Sequence[str], texts: Sequence[str]) -> tuple[list[str], list[Any]]:
    """(what to call each item, the items): of paths, and of texts. A model that reads both together gets the one text
    with every path. Raises ConfigError when there is nothing to ask."""
    kinds = {one.kind for one in predictor.model.readings.values()}
    paths = picture_files(map(Path, words)) if "image" in kinds else [Path(word) for word in words]
    if not paths and not texts:
        raise ConfigError("there is nothing to predict: name files or folders, or give --text")
    if paths and texts:
        return _together(predictor, kinds, paths, texts)
    if texts:
        return list(texts), [{"text": text} for text in texts]
    kind = "image" if "image" in kinds else "array"
    return list(map(str, paths)), [{kind: path} for path in paths]


def _together(
    predictor: Predictor, kinds: set[Any], paths: Sequence[Path], texts: Sequence[str]
) -> tuple[list[str], list[Any]]:
    if len(texts) > 1:
        raise ConfigError(
            "with files give one --text, which goes with each of them; ask texts alone in a call of theirs"
        )
    kind = "image" if "image" in kinds else "array"
    return [f"{path}: {texts[0]}" for path in paths], [{kind: path, "text": texts[0]} for path in paths]


def predictions_json(
    predictor: Predictor, names: Sequence[str], items: Sequence[Any], top: int
) -> tuple[list[dict[str, Any]], int]:
    """One object an item: `outputs`, and the likeliest `classes` where there are logits of a row, or the `text` that a
    student wrote; or its `error`. And the exit code of the worst of them."""
    found, code = [], 0
    for name, said in zip(names, predictor.answers(items), strict=True):
        if isinstance(said, Exception):
            found.append({"item": name, "error": str(said)})
            code = max(code, said.exit_code)
        else:
            found.append(_prediction(predictor, name, said, top))
    return found, code


def _prediction(predictor: Predictor, name: str, said: Mapping[str, np.ndarray], top: int) -> dict[str, Any]:
    one: dict[str, Any] = {"item": name, "outputs": {output: values.tolist() for output, values in said.items()}}
    if isinstance(predictor.model, WriterModel):
        one["text"] = predictor.model.text(said["tokens"])
    elif said.get("logits", np.zeros(())).ndim == 1:
        one["classes"] = [asdict(likely) for likely in likeliest(said["logits"], predictor.model.classes, top)]
    return one


def error_lines(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is said of each item that was not answered; it begins with the item."""
    wrong = [one for one in found if "error" in one]
    return [one["error"] if one["item"] in one["error"] else f"{one['item']}: {one['error']}" for one in wrong]


def predictions_table(found: Sequence[Mapping[str, Any]]) -> Table:
    """One row an answered item: its likeliest classes, what was written, or else the shapes of what was said."""
    answered = [one for one in found if "error" not in one]
    heading = next((word for word in ("classes", "text") if any(word in one for one in answered)), "outputs")
    table = Table("item", heading)
    for one in answered:
        if "text" in one:
            words = escape(one["text"])
        elif "classes" in one:
            words = ", ".join(f"{each['name']} {each['probability']:.1%}" for each in one["classes"])
        else:
            words = ", ".join(f"{name} {np.shape(values)}" for name, values in one["outputs"].items())
        table.add_row(one["item"], words)
    return table
