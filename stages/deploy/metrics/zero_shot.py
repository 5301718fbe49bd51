"""Zero-shot classification (Radford et al. 2021, arXiv 2103.00020): the class whose texts are nearest to the image.

A class is the mean of the unit embeddings of its texts, made a unit again. The texts are those of a set of prompts, or
the held-out set's own captions; each model embeds them with its own text tower. Only classes that have a text compete,
and an image whose class has none is not counted.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..evaluation.held_out import HeldOutBatch
from .dense import unit_rows
from .measured import Columns, Measured
from .metric_spec import ZeroShotSpec
from .ranking import hit_rates


def columns(spec: ZeroShotSpec, said: Mapping[str, Any], batch: HeldOutBatch) -> Columns:
    """`image` float32 (n, width) of length 1 and its `class` (n,), of the samples that have one; without prompts also
    their `text`."""
    label = batch.labels.numpy() if spec.label is None else batch.fields[spec.label]
    known = _known(label)
    found = {"image": unit_rows(said, spec.image)[known], "class": label[known]}
    return found if spec.prompts else {**found, "text": unit_rows(said, spec.text)[known]}


def prompt_columns(spec: ZeroShotSpec, said: Mapping[str, Any], batch: HeldOutBatch) -> Columns:
    """`text` float32 (n, width) of length 1 and the `class` (n,) of each prompt."""
    label = batch.labels.numpy() if spec.label is None else batch.fields[spec.label]
    known = _known(label)
    return {"text": unit_rows(said, spec.text)[known], "class": label[known]}


def measured(spec: ZeroShotSpec, found: Columns, prompts: Columns | None) -> Measured:
    """Top-1 and top-5, fractions; None without an image whose class has a text."""
    texts = found if prompts is None else prompts
    names, numbers = np.unique(texts["class"], return_inverse=True)
    here = np.isin(found["class"], names)
    if not here.any():
        return Measured(dict.fromkeys(spec.figures))
    classes = _means(texts["text"], numbers.reshape(-1), len(names))
    own = np.searchsorted(names, found["class"][here])
    rates = hit_rates(found["image"][here], own, classes, np.arange(len(names)), (1, 5))
    return Measured(dict(zip(spec.figures, rates, strict=True)), samples=int(here.sum()))


def _means(rows: np.ndarray, numbers: np.ndarray, count: int) -> np.ndarray:
    """The mean direction of each class: float32 (count, width) of length 1."""
    sums = np.zeros((count, rows.shape[1]))
    np.add.at(sums, numbers, rows)
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    return (sums / np.where(length > 0, length, 1)).astype(np.float32)


def _known(label: np.ndarray) -> np.ndarray:
    if label.dtype.kind == "U":
        return np.asarray(label != "")
    return ~np.isnan(label) if label.dtype.kind == "f" else np.asarray(label >= 0)
