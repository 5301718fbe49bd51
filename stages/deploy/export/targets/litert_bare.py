"""A LiteRT file without the names of its tensors, which nobody asks for: inputs and outputs are found by the signature.

The converter writes the whole path of torch's modules into each, half of a small file's bytes, and with it where and by
whom a student was made. The numbers, and the operators, stay as they are.
"""

from pathlib import Path
from typing import Any

import numpy as np

from ...runtimes.extras import library
from ...runtimes.litert import EXTRA

_ALIGNED = 16  # bytes, as the format's schema wants it of weights


def save_bare_litert(file: Path) -> None:
    """Write `file` again, with numbers for names. Raises StageError for a missing library."""
    tools = library("ai_edge_litert.tools.flatbuffer_utils", EXTRA)
    model = tools.read_model_from_bytearray(file.read_bytes())
    for graph in model.subgraphs:
        for number, tensor in enumerate(graph.tensors):
            tensor.name = str(number).encode()
    builder = _builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    file.unlink()  # the quantiser gives its file rights of a program
    file.write_bytes(builder.Output())


def _builder() -> Any:
    """The Python builder knows nothing of the alignment that the schema asks for."""
    flatbuffers = library("flatbuffers", EXTRA)

    class Aligned(flatbuffers.Builder):  # type: ignore[name-defined,misc]
        def CreateNumpyVector(self, values: np.ndarray) -> int:
            if values.dtype == np.uint8:
                self.Prep(_ALIGNED, values.size)
            return int(super().CreateNumpyVector(values))

    return Aligned(1024)
