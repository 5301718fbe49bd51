"""Properties that are computed once take no lock that a forked process could find locked for ever."""

from pathlib import Path

ROOM = Path(__file__).parents[2] / "cache"


def test_no_file_of_the_cache_uses_a_property_with_a_lock() -> None:
    files = [path for path in ROOM.rglob("*.py") if path != ROOM / "lazy.py"]
    assert len(files) > 50
    assert [str(path) for path in files if "cached_property" in path.read_text()] == []
