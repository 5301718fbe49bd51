"""The arrows between rooms: pipeline -> stages -> {data, cache}, and no other. Nothing is imported here."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("pipeline", "stages", "data", "cache")
PACKAGE = "teachercache"

# Which rooms a room may import. "" is the package's `__init__.py`.
ARROWS: dict[str, tuple[str, ...]] = {
    "": ("cache",),
    "__main__": ("pipeline",),
    "data": ("data",),
    "cache": ("cache",),
    "stages": ("stages", "data", "cache"),
    "pipeline": ("", "pipeline", "stages", "data", "cache"),
}
# Arrows inside an allowed room that are still forbidden: phase two must not be able to load a teacher, and what both
# phases share must depend on neither.
FORBIDDEN = (
    ("stages.student", "stages.teacher"),
    ("stages.teacher", "stages.student"),
    ("stages.teacher", "stages.generation"),  # the room that knows both is asked by name
    ("stages.student", "stages.generation"),
    ("stages.capture", "stages.teacher"),
    ("stages.capture", "stages.student"),
)
# Libraries that would make arrays on disk unreadable without them.
NOT_IN_CACHE = ("torch", "transformers", "torchmetrics", "safetensors.torch", "array_api_compat.torch", "webdataset")


def within(module: str, room: str) -> bool:
    """Whether dotted `module` is `room` or lies in it."""
    return module == room or module.startswith(room + ".")


def room_of(module: str) -> str:
    return next((room for room in ARROWS if within(module, room)), "")


def fault(module: str, imported: str) -> str | None:
    """Why `module` (without the package's name) may not import `imported` (an absolute name), or None."""
    if not within(imported, PACKAGE):
        hit = next((name for name in NOT_IN_CACHE if within(imported, name)), None)
        return f"cache knows no {hit}" if hit and within(module, "cache") else None
    target = imported.removeprefix(PACKAGE).lstrip(".")
    if room_of(target) not in ARROWS[room_of(module)]:
        return f"{room_of(module) or PACKAGE} may not import {room_of(target) or PACKAGE}"
    return next(
        (
            f"{left} may not import {right}"
            for left, right in FORBIDDEN
            if within(module, left) and within(target, right)
        ),
        None,
    )


def module_name(path: Path, root: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__").removesuffix("__init__")


def imports(source: str, package: str) -> Iterator[tuple[int, str, bool]]:
    """(line, absolute dotted name, whether written relative) of each import; `package` is the importing file's package.

    `from a import b` gives `a.b` as well, because b may be a module.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join(above + ([node.module] if node.module else []))
            yield from ((node.lineno, f"{base}.{alias.name}", node.level > 0) for alias in node.names)


def faults(path: Path, root: Path) -> Iterator[str]:
    """Every wrong import of one file of the package, as `file:line: reason`."""
    module = module_name(path, root)
    own = f"{PACKAGE}.{module}".rstrip(".")
    package = own if path.name == "__init__.py" else own.rpartition(".")[0]
    for line, name, relative in imports(path.read_text(), package):
        where = f"{path.relative_to(root)}:{line}"
        if not relative and name.split(".")[0] in (PACKAGE, *ROOMS):
            yield f"{where}: write `{name}` relative; whole names are for tests and users"
        if reason := fault(module, name):
            yield f"{where}: {reason} ({name})"


def package_files() -> list[Path]:
    return sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def test_imports_follow_the_arrows() -> None:
    found = [line for path in package_files() for line in faults(path, ROOT)]
    front = ROOT / ".src" / PACKAGE
    found += [line for path in front.glob("*.py") for line in faults(path, front)]
    assert found == [], "\n".join(found)


def test_tests_use_whole_names() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in (ROOT / "tests").rglob("*.py")
        for line, name, relative in imports(path.read_text(), "tests")
        if relative or name.split(".")[0] in ROOMS
    ]
    assert wrong == [], "\n".join(wrong)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("cache/reader.py", "import torch"),
        ("cache/reader.py", "def f():\n    from torch.nn import functional"),
        ("cache/codecs/logits/topk.py", "from transformers import ViTModel"),
        ("cache/reader.py", "from ..data.spec import ViewsSpec"),
        ("cache/reader.py", "from .. import data"),
        ("data/source.py", "from ..cache import open_cache"),
        ("data/webdataset.py", "from ..cache.remote.mirror import Mirror"),
        ("data/source.py", "from ..stages.errors import StageError"),
        ("stages/student/trial/trial.py", "from ...teacher.spec import TeacherSpec"),
        ("stages/student/trial/trial.py", "from ... import teacher"),
        ("stages/student/__init__.py", "from ..teacher import spec"),
        ("stages/capture/names.py", "from ..student import spec"),
        ("stages/deploy/evaluation/evaluate.py", "from ....pipeline.config import Config"),
        ("cache/reader.py", "import teachercache.cache.format.schema"),
        ("data/source.py", "import cache"),
        ("stages/deploy/apps.py", "from ... import __version__"),
        ("__init__.py", "from .pipeline.cli import app"),
    ],
)
def test_a_forbidden_import_is_found(tmp_path: Path, path: str, source: str) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(source)
    assert list(faults(file, tmp_path))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("cache/__init__.py", "from .spec import CacheSpec\nimport numpy, zarr, pyarrow, array_api_compat"),
        (
            "stages/student/trial/trial.py",
            "from ....cache import open_cache\nfrom ...errors import StageError\nimport torch",
        ),
        ("stages/teacher/runner.py", "from ..capture import points\nfrom ...data.views import policy"),
        (
            "pipeline/cli.py",
            "from .. import __version__\nfrom ..stages.teacher import runner\nfrom .config import Config",
        ),
        ("__init__.py", "from .cache import open_cache"),
        ("__main__.py", "from .pipeline.cli import app"),
    ],
)
def test_an_allowed_import_passes(tmp_path: Path, path: str, source: str) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(source)
    assert list(faults(file, tmp_path)) == []
