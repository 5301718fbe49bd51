"""An ExecuTorch program (.pte) on the CPU, over XNNPACK. Its Python runtime passes tensors of torch: torch is imported.

A program takes at most as many rows as memory was planned for; more are run in pieces. It checks sizes itself only by
the room that they take, so that a picture of another shape would be read as if it were none: that is refused here.
"""

import json
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from ...errors import StageError
from .extras import library
from .runtime import GraphNames

EXTRA = "executorch"
TAKES = "takes"  # a method of our files: JSON {input: [[the most places of an axis, whether fewer will do], ...]}
_CHATTER = (b"[cpuinfo_utils.cpp:", b"[threadpool.cpp:")


class ExecutorchGraph:
    """{input: array} -> {output: array}; the file knows its inputs' names, and `names` say what it gives.

    `threads` pins the pool that all ExecuTorch programs of this process share.
    """

    def __init__(self, file: Path, names: GraphNames, threads: int | None = None) -> None:
        """Raises StageError without the extra, and for a file that cannot be loaded."""
        self._torch = library("torch", EXTRA, file)
        bindings = _bindings(file)
        _pin(bindings, threads)
        try:
            whole = bindings.Verification.InternalConsistency
            self._program: Any = bindings._load_program(str(file), program_verification=whole)
            self._forward: Any = self._program.load_method("forward")
            self._takes: dict[str, list[tuple[int, bool]]] = json.loads(self._program.load_method(TAKES)([])[0])
        except (RuntimeError, ValueError) as error:
            raise StageError(f"{file} cannot be loaded by ExecuTorch ({error}): export the student again") from error
        self._outputs, self.runtime = names.outputs, f"executorch {version('executorch')}"

    @property
    def most(self) -> int:
        """The rows that memory is planned for."""
        return min(axes[0][0] for axes in self._takes.values())

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        pieces = [self._piece(inputs, start) for start in range(0, self._rows(inputs), self.most)]
        return {name: np.concatenate([one[name] for one in pieces]) for name in self._outputs}

    def _piece(self, inputs: Mapping[str, np.ndarray], start: int) -> dict[str, np.ndarray]:
        rows = slice(start, start + self.most)
        # torch.tensor copies, and so lays them out in order: strides are not looked at beyond this point
        said = self._forward([self._torch.tensor(np.ascontiguousarray(inputs[name][rows])) for name in self._takes])
        return {name: values.numpy() for name, values in zip(self._outputs, said, strict=True)}

    def _rows(self, inputs: Mapping[str, np.ndarray]) -> int:
        """How many there are. Raises StageError for none, and for rows of another shape than the program takes."""
        for name, (_, *axes) in self._takes.items():
            sides = inputs[name].shape[1:]
            if len(sides) != len(axes) or not all(map(_fits, sides, axes)):
                wanted = ", ".join(f"1 to {most}" if free else str(most) for most, free in axes)
                raise StageError(f"a row of {name} has the shape {sides}, and the program takes ({wanted})")
        counts = {len(inputs[name]) for name in self._takes}
        if len(counts) != 1 or 0 in counts:
            raise StageError(f"the program takes a row or more, as many of each of {', '.join(self._takes)}")
        return counts.pop()


def _fits(side: int, axis: tuple[int, bool]) -> bool:
    most, free = axis
    return side == most or (free and 0 < side < most)


def _bindings(file: Path) -> Any:
    """The compiled runtime. Its public door imports the whole exporter around it: seconds, and 130 MB."""
    try:
        return import_module("executorch.extension.pybindings._C")
    except ImportError:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that its interface may change
            return library("executorch.extension.pybindings.portable_lib", EXTRA, file)


def _pin(bindings: Any, threads: int | None) -> None:
    _wake(bindings)
    if threads is not None and bindings._threadpool_get_thread_count() != threads:
        with _without_chatter():
            bindings._unsafe_reset_threadpool(threads)


@cache
def _wake(bindings: Any) -> None:
    """Once a process: the pool is made, and says on stderr which files of phones it did not find."""
    with _without_chatter():
        bindings._threadpool_get_thread_count()


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Keeps two kinds of log lines of the C++ runtime from stderr, and no others: it knows no level of logs."""
    sys.stderr.flush()
    kept = os.dup(2)
    with TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            log.seek(0)
            for line in log:
                if not line.startswith(_CHATTER):
                    os.write(2, line)
