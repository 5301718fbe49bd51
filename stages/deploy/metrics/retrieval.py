"""Recall at k between images and texts, both ways, over the whole held-out set.

R@k is the share of queries whose own group is among the k nearest groups by cosine (see `ranking`); without `group`
every sample is a group of its own, which is the R@k of Karpathy and Fei-Fei 2015 (arXiv 1412.2306).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..evaluation.held_out import HeldOutBatch
from .dense import unit_rows
from .measured import Columns, Measured
from .metric_spec import RetrievalSpec
from .ranking import hit_rates


def columns(spec: RetrievalSpec, said: Mapping[str, Any], batch: HeldOutBatch) -> Columns:
    """`image` and `text`, float32 (n, width) of length 1, and `group` (n,)."""
    group = batch.rows if spec.group is None else batch.fields[spec.group]
    return {"image": unit_rows(said, spec.image), "text": unit_rows(said, spec.text), "group": group}


def measured(spec: RetrievalSpec, found: Columns) -> Measured:
    """Of each k the mean of both ways, then image to text, then text to image; fractions."""
    image, text = found["image"], found["text"]
    group = np.unique(found["group"], return_inverse=True, axis=0)[1].reshape(-1).astype(np.int64)
    to_text, to_image = hit_rates(image, group, text, group, spec.k), hit_rates(text, group, image, group, spec.k)
    both = [(a + b) / 2 for a, b in zip(to_text, to_image, strict=True)]
    return Measured(dict(zip(spec.figures, [*both, *to_text, *to_image], strict=True)), samples=len(image))
