"""Gives tests the in-memory stream, which is a script too and so is loaded from its file."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

MEMORY_STREAM = Path(__file__).with_name("memory_stream.py")


@pytest.fixture(scope="session")
def memory() -> ModuleType:
    """The module memory_stream.py: MemoryStream, SHAPE, make_train, make_student."""
    spec = spec_from_file_location("memory_stream", MEMORY_STREAM)
    assert spec is not None and spec.loader is not None
    module = sys.modules["memory_stream"] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def students() -> ModuleType:
    """The module students_given.py: settings, given, built, batch, padded."""
    spec = spec_from_file_location("students_given", Path(__file__).with_name("students_given.py"))
    assert spec is not None and spec.loader is not None
    module = sys.modules["students_given"] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)
