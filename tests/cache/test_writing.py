"""Writing: receipts decide, two builders never mix, a full disk loses nothing."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from teachercache.cache import Cache, CacheError, CacheWriteError, Manifest, StaleCacheError, create_cache, open_cache
from teachercache.cache.format.receipt import receipt_name

Filled = Callable[..., tuple[Cache, dict[str, dict[str, np.ndarray]]]]
WriteShard = Callable[..., dict[str, np.ndarray]]
MakeManifest = Callable[..., Manifest]


def test_a_shard_without_a_receipt_does_not_exist(filled: Filled) -> None:
    cache, _ = filled(5, 6)
    (cache.root / receipt_name("s0")).unlink()
    again = open_cache(cache.root)
    assert again.shards == ("s1",) and again.missing() == ("s0",)
    with pytest.raises(CacheError, match="1 of 2 shards are missing"):
        again.require_complete()


def test_of_two_builders_of_one_shard_one_wins_and_the_other_leaves_nothing(
    tmp_path: Path, manifest: MakeManifest, shard_writer: WriteShard
) -> None:
    cache = create_cache(tmp_path / "c", manifest(("s0",)))
    first = shard_writer(cache, "s0", 5, seed=1)
    shard_writer(cache, "s0", 5, seed=2)
    again = open_cache(cache.root)
    np.testing.assert_array_equal(
        again.read(np.arange(10), ["logits"]).signals["logits"], first["logits"].astype("f2").astype("f4")
    )
    assert len(list((cache.root / "shards").glob("s0.*"))) == 1
    assert len(list((cache.root / "rows").iterdir())) == 1


def test_a_discarded_attempt_leaves_no_file(tmp_path: Path, manifest: MakeManifest) -> None:
    cache = create_cache(tmp_path / "c", manifest(("s0",)))
    writer = cache.writer("s0")
    writer.discard()
    assert [path.name for path in (cache.root / "shards").iterdir()] == ["zarr.json"]


def test_a_cache_of_something_else_is_refused_naming_the_fields(tmp_path: Path, manifest: MakeManifest) -> None:
    create_cache(tmp_path / "c", manifest(("s0",)))
    other: dict[str, Any] = {"teacher": {"weights": "xyz"}, "signals": {"logits": {}, "new": {"codec": "f16"}}}
    with pytest.raises(StaleCacheError) as caught:
        open_cache(tmp_path / "c", other)
    assert "teacher.weights: the cache has abc, the configuration asks for xyz" in str(caught.value)
    assert "signals.new: the cache has nothing" in str(caught.value)
    with pytest.raises(StaleCacheError, match="teacher.weights"):
        create_cache(tmp_path / "c", manifest(("s0",), fingerprint=other))


def test_signals_that_nobody_asks_for_are_no_difference(tmp_path: Path, manifest: MakeManifest) -> None:
    create_cache(tmp_path / "c", manifest(("s0",)))
    open_cache(tmp_path / "c", {"teacher": {"weights": "abc"}, "signals": {"logits": {}}})


def test_an_empty_shard_is_a_shard(filled: Filled) -> None:
    cache, _ = filled(0, 4)
    assert cache.rows == 8 and cache.missing() == ()
    assert len(cache.read(np.arange(8)).ids) == 8


def test_a_folder_that_is_no_cache_is_named(tmp_path: Path) -> None:
    with pytest.raises(CacheError, match="is no cache"):
        open_cache(tmp_path)
    with pytest.raises(CacheError, match="is no cache"):
        open_cache(tmp_path / "nowhere")


def test_an_unwritable_place_is_one_clear_error(tmp_path: Path, manifest: MakeManifest) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheWriteError, match="choose another cache.path"):
        create_cache(tmp_path / "file" / "c", manifest(("s0",)))


FULL = """
import resource, sys
sys.path.insert(0, sys.argv[2])
import conftest
from teachercache.cache import CacheWriteError, open_cache
cache = open_cache(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
try:
    conftest.write_shard(cache, "s1", 4000)
except CacheWriteError as error:
    print("refused:", error)
"""


def test_a_full_disk_is_one_clear_error_and_finished_shards_stay(
    tmp_path: Path, manifest: MakeManifest, shard_writer: WriteShard
) -> None:
    cache = create_cache(tmp_path / "c", manifest(("s0", "s1")))
    shard_writer(cache, "s0", 5)
    command = [sys.executable, "-c", FULL, str(cache.root), str(Path(__file__).parent)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "refused: cannot write" in said and "larger than this system allows" in said
    again = open_cache(cache.root)
    assert again.shards == ("s0",) and again.missing() == ("s1",)
    shard_writer(again, "s1", 6)
    assert open_cache(cache.root).rows == 22
