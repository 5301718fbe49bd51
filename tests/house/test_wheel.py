"""What is shipped: the wheel holds every file of the package and nothing else, and works alone."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("pipeline", "stages", "data", "cache")
# Megabytes that only the demo needs, and the demo runs from a checkout.
LEFT_OUT = {".tar", ".safetensors"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built as pip would build it."""
    folder = tmp_path_factory.mktemp("wheel")
    return Path(next(WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])))


def package_files() -> set[str]:
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*") if path.is_file()]
    return {f"teachercache/{path.name}" for path in (ROOT / ".src" / "teachercache").iterdir() if path.is_file()} | {
        f"teachercache/{path.relative_to(ROOT).as_posix()}"
        for path in files
        if path.suffix not in LEFT_OUT and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_the_package_whole(wheel: Path) -> None:
    """Fails as well when a line of .gitignore, which hatchling obeys, swallows a file of a room."""
    packed = zipfile.ZipFile(wheel).namelist()
    shipped = {name for name in packed if ".dist-info/" not in name}
    assert len(packed) == len(set(packed))
    assert shipped == package_files()


def test_the_wheel_carries_its_licence_and_command(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    notes = {name.partition(".dist-info/")[2]: name for name in archive.namelist() if ".dist-info/" in name}
    assert {"licenses/LICENSE", "licenses/NOTICE", "METADATA"} <= notes.keys()
    assert "teachercache = teachercache.pipeline.entry:main" in archive.read(notes["entry_points.txt"]).decode()


def test_an_unpacked_wheel_is_imported_instead_of_the_checkout(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    done = subprocess.run(
        [sys.executable, "-c", "import teachercache.data.spec, teachercache.cache; print(teachercache.cache.__file__)"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "site" / "teachercache" / "cache" / "__init__.py")
