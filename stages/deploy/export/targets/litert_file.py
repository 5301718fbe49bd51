"""A graph as a LiteRT file (.tflite) of one row, by litert-torch.

A free batch is none that the converter can write: transformers' shapes inside, and those of its own convolutions, are
fixed. So texts and sequences are as long as they may be, and whoever runs the file does so row by row. Integers have 32
bits in the file, and inputs and outputs the student's own names. It refuses operators that LiteRT does not have.
"""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
from torch import Tensor, nn

from ....errors import StageError
from ...runtimes.extras import library
from ...runtimes.litert import EXTRA, LitertGraph
from ..graphs import TorchGraph
from ..manifest import GraphTensor
from ..probes import probe_inputs
from .litert_bare import save_bare_litert
from .onnx_file import reason


def write_litert(graph: TorchGraph, file: Path) -> None:
    """Write a graph. Raises StageError for a missing library and for what LiteRT cannot say."""
    example = probe_inputs(graph.inputs, 1, 0, fixed=True)
    with quietly():
        converter = library("litert_torch", EXTRA)
        try:
            converter.convert(_Named(graph).eval(), sample_kwargs=example).export(str(file))
        except Exception as error:  # the converter raises torch's, jax's and MLIR's own kinds
            raise StageError(f"this student cannot be exported to LiteRT: {reason(error)}") from error
        save_bare_litert(file)


def litert_ends(graph: TorchGraph, file: Path) -> tuple[tuple[GraphTensor, ...], tuple[GraphTensor, ...]]:
    """Inputs and outputs as the file says them. The first axis is 1: rows are run one by one."""
    found = LitertGraph(file)
    inputs, outputs = (
        tuple(
            GraphTensor(name, np.dtype(side[name]["dtype"]).name, tuple(map(int, side[name]["shape"])))
            for name in names
            if name in side
        )
        for side, names in ((found.inputs, tuple(graph.inputs)), (found.outputs, graph.outputs))
    )
    return inputs, outputs


class _Named(nn.Module):
    """A graph whose inputs and outputs have names, which the file takes over."""

    def __init__(self, graph: TorchGraph) -> None:
        super().__init__()
        self.module, self.inputs, self.outputs = graph.module, tuple(graph.inputs), graph.outputs

    def forward(self, **given: Tensor) -> dict[str, Tensor]:
        found = self.module(*(given[name] for name in self.inputs))
        return dict(zip(self.outputs, found, strict=True))


@contextmanager
def quietly() -> Iterator[None]:
    """Without the warnings of torchao, jax and torch inside, the converter's progress and the log of its C++ part,
    which goes to the file descriptors themselves."""
    logger, disabled = logging.getLogger(), logging.root.manager.disable
    handlers = list(logger.handlers)
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), _no_output():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        logger.handlers[:] = handlers  # logging.warning() of a library gives the root logger one


@contextmanager
def _no_output() -> Iterator[None]:
    """Nothing reaches stdout and stderr, neither through Python nor past it."""
    kept = {number: os.dup(number) for number in (1, 2)}
    with TemporaryFile() as nowhere, redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        try:
            for number in kept:
                os.dup2(nowhere.fileno(), number)
            yield
        finally:
            for number, copy in kept.items():
                os.dup2(copy, number)
                os.close(copy)
