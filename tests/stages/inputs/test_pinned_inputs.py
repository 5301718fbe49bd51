"""On CUDA inputs are gathered into pinned memory, so that copying them overlaps with the device's work."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from teachercache.stages.student.inputs.feed import Feed
from teachercache.stages.student.spec import InputSource
from teachercache.stages.student.stream.join import Join


@pytest.mark.gpu
def test_inputs_are_pinned_and_equal(joined: Callable[..., Join], words: Path) -> None:
    text = InputSource(text="caption", tokenizer=str(words), max_tokens=12)
    steps = InputSource(array="sequence", max_tokens=6)
    feed, rows = Feed(joined(), {text: "it", steps: "it"}), np.arange(30)
    plain, pinned = feed.columns(rows), feed.columns(rows, pinned=True)
    for source, column in pinned.items():
        assert column.values.is_pinned() and column.lengths is not None and column.lengths.is_pinned()
        assert torch.equal(column.to(torch.device("cuda")).values.cpu(), plain[source].values)
