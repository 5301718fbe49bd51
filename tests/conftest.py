"""What holds for every test: one thread each, no hub, no window, and how hard hypothesis tries.

It sets the environment before any library is loaded, so that a subprocess of a test inherits it. It holds no fixture
that only one folder of tests needs.
"""

import os
import sys
from collections.abc import Callable

import pytest
from hypothesis import settings

for _name, _value in {
    # Test processes run side by side: threads of torch, numpy and OpenMP would only fight for the cores.
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # A test that would load from the hub fails at once, and says so.
    "HF_HUB_OFFLINE": "1",
    "MPLBACKEND": "Agg",
}.items():
    os.environ.setdefault(_name, _value)
# pytest-xdist tells its workers 80 columns; what the command line prints would then depend on how the tests are run.
os.environ.pop("COLUMNS", None)

# No deadline: two busy cores make any example slow now and then. In CI the examples are the same in every run; anywhere
# else hypothesis looks for new ones. `--hypothesis-profile=thorough` is for a change to a fast path.
settings.register_profile("house", deadline=None, derandomize=bool(os.environ.get("CI")), print_blob=True)
settings.register_profile("thorough", settings.get_profile("house"), max_examples=2000, derandomize=False)
settings.load_profile("house")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips tests marked `gpu` where there is no CUDA; imports torch only when there are such tests."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs CUDA"))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """run(*words, code=0): the command line as the console script calls it, without the seconds that a new process
    takes; everything that it printed, on one line. It must leave with `code`, and never with a traceback."""

    def call(*words: object, code: int = 0) -> str:
        from teachercache.pipeline.cli import main

        monkeypatch.setattr(sys, "argv", ["teachercache", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
            sys.exit(0)
        said = capsys.readouterr()
        assert (left.value.code or 0) == code, said.out + said.err
        assert "Traceback" not in said.err
        return " ".join((said.out + said.err).split())

    return call
