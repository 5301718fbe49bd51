"""Inputs equal the teacher's own image processor, on the fast path and off it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from teachercache.stages.errors import StageError
from teachercache.stages.teacher.inputs.preprocessing import Preprocessor


def test_the_batched_path_equals_the_processor(tiny_vit: Path) -> None:
    views = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    prepare = Preprocessor(tiny_vit, 16, 3)
    assert prepare._plain is not None
    torch.testing.assert_close(prepare(views), prepare.slow(views), atol=1e-6, rtol=1e-6)


def test_views_of_another_size_go_through_the_processor(tiny_vit: Path) -> None:
    views = np.random.default_rng(0).integers(0, 256, (2, 20, 20, 3), dtype=np.uint8)
    prepare = Preprocessor(tiny_vit, 20, 3)
    assert prepare._plain is None
    assert prepare(views)["pixel_values"].shape == (2, 3, 16, 16)


def test_a_missing_processor_is_named(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="image processor"):
        Preprocessor(tmp_path, 16, 3)
