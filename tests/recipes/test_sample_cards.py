"""Every folder of sample data has a card with its true size and a NOTICE, and all together stay small."""

import re
import zlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / "data/samples"
SETS = ["agent", "emoji", "glosses", "weather", "garments-3d"]
TEACHERS = ["agent-teacher", "emoji-clip", "glosses-bert", "weather-transformer", "garments-3d-cnn"]
PACKED = 12_000_000  # bytes of all of them, compressed as git keeps them


@pytest.mark.parametrize("name", SETS)
def test_shards_take_the_bytes_that_the_card_says(name: str) -> None:
    sizes = [path.stat().st_size for path in (ROOT / name).glob("*.tar")]
    found = re.search(r"\| Size \| ([\d,]+) bytes in (\d+) tar files", (ROOT / name / "README.md").read_text())
    assert found and [int(number.replace(",", "")) for number in found.groups()] == [sum(sizes), len(sizes)]


@pytest.mark.parametrize("name", SETS)
def test_licences_are_named(name: str) -> None:
    assert (ROOT / name / "NOTICE").read_text().strip()
    assert "| Licence |" in (ROOT / name / "README.md").read_text()


@pytest.mark.parametrize("name", TEACHERS)
def test_teachers_have_a_card_and_safetensors_alone(name: str) -> None:
    assert "| Parameters |" in (ROOT / name / "README.md").read_text()
    assert {path.suffix for path in (ROOT / name).iterdir()} <= {".json", ".md", ".safetensors"}


def test_all_of_it_is_small_in_a_repository() -> None:
    files = [path for name in SETS + TEACHERS for path in (ROOT / name).rglob("*") if path.is_file()]
    assert sum(len(zlib.compress(path.read_bytes(), 1)) for path in files) <= PACKED
