"""The shape of the source: links are links, files and functions stay small, each module says what it is for."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("pipeline", "stages", "data", "cache")
FILE_LINES = 300
FUNCTION_LINES = 60
# Names that say nothing about what a file holds, and so come to hold everything.
EMPTY_NAMES = {"base", "common", "helper", "helpers", "misc", "shared", "util", "utils"}

FILES = sorted(path.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def long_functions(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1
            if lines > FUNCTION_LINES:
                yield f"{node.name} at line {node.lineno} has {lines} lines, {FUNCTION_LINES} are the most"


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_of_the_package_is_a_link_to_its_folder(room: str) -> None:
    link = ROOT / ".src" / "teachercache" / room
    assert link.is_symlink(), (
        f"{link} is no symbolic link: this clone was made without them, and an editable install cannot work. "
        "Clone again with `git -c core.symlinks=true clone ...`, or install the wheel."
    )
    assert str(link.readlink()) == f"../../{room}"


def test_a_module_says_what_it_is_for() -> None:
    sources = {path: (ROOT / path).read_text() for path in FILES}
    silent = [
        str(path) for path, source in sources.items() if source.strip() and not ast.get_docstring(ast.parse(source))
    ]
    assert silent == []


def test_a_file_holds_one_concept() -> None:
    lengths = {str(path): len((ROOT / path).read_text().splitlines()) for path in FILES}
    assert {path: lines for path, lines in lengths.items() if lines > FILE_LINES} == {}


def test_functions_stay_small() -> None:
    assert [f"{path}: {fault}" for path in FILES for fault in long_functions((ROOT / path).read_text())] == []


def test_a_long_function_is_found() -> None:
    body = "    x = 1\n" * FUNCTION_LINES
    assert len(list(long_functions(f"def outer():\n{body}"))) == 1
    assert list(long_functions(f"def outer():\n{body[:-10]}")) == []


def test_a_file_is_named_for_one_concept() -> None:
    unnamed = [str(path) for path in FILES if EMPTY_NAMES & {part.strip("_") for part in (*path.parts[:-1], path.stem)}]
    assert unnamed == []


def test_every_folder_of_the_package_is_a_package() -> None:
    """Recipes apart, which are YAML and scripts. Tools disagree on what a folder without `__init__.py` is."""
    folders = {path.parent for path in FILES if path.parts[:2] != ("pipeline", "recipes")}
    assert [str(folder) for folder in sorted(folders) if not (ROOT / folder / "__init__.py").is_file()] == []
