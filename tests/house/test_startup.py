"""What an import costs, and that a user's own files cannot take its place. Each in an interpreter of its own."""

import subprocess
import sys
from pathlib import Path


def python(code: str, folder: Path) -> list[str]:
    """The lines that `code` prints when `folder` is the working directory (which `python -c` searches first)."""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_reading_arrays_imports_no_torch(tmp_path: Path) -> None:
    heavy = "{'torch', 'transformers', 'torchmetrics', 'webdataset', 'matplotlib'}"
    printed = python(
        f"import sys, teachercache, teachercache.cache; print(sorted({heavy} & set(sys.modules)))", tmp_path
    )
    assert printed == ["[]"]


def test_the_command_line_imports_no_torch_before_a_verb_needs_it(tmp_path: Path) -> None:
    """`--help` and `jobs` answer at once."""
    code = (
        "import sys, teachercache.pipeline.cli, teachercache.pipeline.launching.progress; print('torch' in sys.modules)"
    )
    assert python(code, tmp_path) == ["False"]


def test_a_users_own_data_cache_and_stages_stay_apart(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "teachercache").mkdir()  # such as a folder of caches; a namespace package would lose against it
    for path, name in (("data.py", "data"), ("cache/__init__.py", "cache"), ("stages.py", "stages")):
        (tmp_path / path).write_text(f"whose = 'the user, {name}'\n")
    printed = python(
        "import teachercache, teachercache.data, teachercache.stages, teachercache.pipeline\n"
        "import cache, data, stages\n"
        "print(teachercache.open_cache.__module__.split('.')[0])\n"
        "for module in (cache, data, stages): print(module.whose)",
        tmp_path,
    )
    assert printed == ["teachercache", "the user, cache", "the user, data", "the user, stages"]
