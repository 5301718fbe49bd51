"""The local mirror: bounded, shared, whole or not at all. Its files come from a function here, and from no store."""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from teachercache.cache.remote.errors import RemoteError
from teachercache.cache.remote.mirror import Mirror, local_mirror
from teachercache.cache.remote.scratch import new_scratch
from teachercache.cache.remote.settings import size_of

SIZE = 1000


class Elsewhere:
    """Files of SIZE bytes elsewhere; counts what is loaded."""

    def __init__(self, folder: Path, limit: int, seconds: float = 0.0) -> None:
        folder.mkdir(exist_ok=True)
        self.mirror, self.seconds, self.loaded = Mirror(folder, limit), seconds, []

    def load(self, path: Path, size: int) -> None:
        time.sleep(self.seconds)
        self.loaded.append(path)
        path.write_bytes(bytes(size))

    def file(self, name: str, size: int = SIZE) -> Path:
        return self.mirror.file("place", name, lambda: size, self.load)


def test_the_mirror_stays_below_its_bound_and_whole_shards_leave(
    tmp_path: Path, held_bytes: Callable[[Path], int]
) -> None:
    elsewhere = Elsewhere(tmp_path / "mirror", 10 * SIZE)
    for shard in range(20):
        for part in ("a", "b"):
            elsewhere.file(f"shards/s{shard}/{part}")
            assert held_bytes(tmp_path / "mirror") <= 10 * SIZE
    left = sorted((tmp_path / "mirror/place/shards").iterdir(), key=lambda path: int(path.name[1:]))
    assert [path.name for path in left] == [f"s{n}" for n in range(20 - len(left), 20)] and len(left) >= 4
    assert all({file.name for file in path.iterdir()} == {"a", "b"} for path in left)
    assert elsewhere.mirror.usage.departed() == 20 - len(left)


def test_what_was_used_last_stays(tmp_path: Path) -> None:
    elsewhere = Elsewhere(tmp_path / "mirror", 4 * SIZE)
    for shard in range(12):
        elsewhere.file("shards/mine/a")
        elsewhere.file(f"shards/s{shard}/a")
    assert sum("mine" in str(path) for path in elsewhere.loaded) == 1 and len(elsewhere.loaded) == 13


def test_what_is_open_stays_readable_when_it_leaves(tmp_path: Path) -> None:
    elsewhere = Elsewhere(tmp_path / "mirror", 2 * SIZE)
    with elsewhere.mirror.open("place", "shards/s/a", lambda: SIZE, elsewhere.load) as file:
        for shard in range(4):
            elsewhere.file(f"shards/s{shard}/a")
        assert not Path(file.name).exists() and len(file.read()) == SIZE


def test_a_file_larger_than_the_mirror_is_an_error_that_says_what_to_set(tmp_path: Path) -> None:
    elsewhere = Elsewhere(tmp_path / "mirror", 2 * SIZE)
    with pytest.raises(RemoteError, match="2,000 bytes, and 3,000 are needed.*TEACHERCACHE_MIRROR_BYTES"):
        elsewhere.file("shards/s/a", 3 * SIZE)
    assert elsewhere.file("shards/s/b").exists()


def test_threads_share_one_download(tmp_path: Path) -> None:
    elsewhere = Elsewhere(tmp_path / "mirror", 10 * SIZE, seconds=0.1)
    threads = [threading.Thread(target=elsewhere.file, args=("shards/s/a",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(elsewhere.loaded) == 1
    assert [path.name for path in (tmp_path / "mirror/place/shards/s").iterdir()] == ["a"]


def _hammer(folder: Path, seed: int) -> None:
    elsewhere = Elsewhere(folder, 5 * SIZE)
    for turn in range(60):
        name = f"shards/s{(turn * 7 + seed) % 9}/a"
        with elsewhere.mirror.open("place", name, lambda: SIZE, elsewhere.load) as file:
            if len(file.read()) != SIZE:
                os._exit(1)


def test_processes_that_make_room_for_each_other_see_whole_files(
    tmp_path: Path, held_bytes: Callable[[Path], int]
) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_hammer, args=(tmp_path / "mirror", seed)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0, 0]
    assert held_bytes(tmp_path / "mirror") <= 5 * SIZE


def test_a_download_that_was_killed_is_made_again(tmp_path: Path, held_bytes: Callable[[Path], int]) -> None:
    started = tmp_path / "started"

    def hang(path: Path, size: int) -> None:
        path.write_bytes(bytes(size))
        started.touch()
        time.sleep(60)

    mirror = Mirror(tmp_path / "mirror", 3 * SIZE)
    mirror.root.mkdir()
    worker = multiprocessing.get_context("fork").Process(
        target=mirror.file, args=("place", "shards/s/a", lambda: 2 * SIZE, hang)
    )
    worker.start()
    while not started.exists():
        time.sleep(0.01)
    worker.kill()
    worker.join()
    elsewhere = Elsewhere(tmp_path / "mirror", 3 * SIZE)
    assert elsewhere.file("shards/s/a", 2 * SIZE).stat().st_size == 2 * SIZE  # which fits once only
    assert held_bytes(tmp_path / "mirror") == 2 * SIZE


def test_a_download_that_fails_leaves_nothing(tmp_path: Path, held_bytes: Callable[[Path], int]) -> None:
    mirror = Elsewhere(tmp_path / "mirror", 2 * SIZE).mirror

    def fail(path: Path, size: int) -> None:
        path.write_bytes(b"half")
        raise RemoteError("lost")

    for _ in range(3):
        with pytest.raises(RemoteError, match="lost"):
            mirror.file("place", "shards/s/a", lambda: SIZE, fail)
    assert held_bytes(tmp_path / "mirror") == 0 and mirror.usage.reserve(2 * SIZE, tmp_path, lambda: None) is None


def test_a_lost_account_is_found_again(tmp_path: Path, held_bytes: Callable[[Path], int]) -> None:
    elsewhere = Elsewhere(tmp_path / "mirror", 3 * SIZE)
    for shard in range(3):
        elsewhere.file(f"shards/s{shard}/a")
    (tmp_path / "mirror/.usage").write_bytes(b"?")
    elsewhere.file("shards/s9/a")
    assert held_bytes(tmp_path / "mirror") <= 3 * SIZE


def test_scratch_of_a_killed_process_is_swept_and_of_a_living_one_is_not(mirror: Path) -> None:
    mine = new_scratch()
    worker = multiprocessing.get_context("fork").Process(target=lambda: (new_scratch(), os._exit(0)))
    worker.start()
    worker.join()
    folder = mirror.parent / "scratch"
    assert sum(path.is_dir() for path in folder.iterdir()) == 2
    other = new_scratch()
    assert {path for path in folder.iterdir() if path.is_dir()} == {mine.path, other.path}
    mine.close()
    other.close()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "size"), [("50GB", 50 * 10**9), ("512 MiB", 512 << 20), ("1e9", 10**9), ("0.5k", 500), ("7b", 7)]
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert size_of(text) == size


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TEACHERCACHE_MIRROR_BYTES", "much"),
        ("TEACHERCACHE_MIRROR_BYTES", "-1"),
        ("TEACHERCACHE_MIRROR", "/dev/null/a"),
    ],
)
def test_a_setting_that_cannot_be_is_named(
    mirror: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(RemoteError, match=name):
        local_mirror()
