"""Sources of tar shards in an S3 server: the same globs and braces, the same samples, read through the mirror."""

import io
import os
import pickle
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from teachercache.cache.remote.client import client_of
from teachercache.data import DataError, Source, SourceSpec, check_ids, open_source
from teachercache.stages.remote_source import remote_tars


def tar(*keys: str, size: int = 700) -> bytes:
    """A shard whose images are random bytes, with labels."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for key in keys:
            for name, data in ((f"{key}.png", os.urandom(size)), (f"{key}.cls", b"3")):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


@pytest.fixture
def put(address: str) -> Callable[[Mapping[str, bytes]], str]:
    """Put files below the test's address, which it returns."""

    def put(files: Mapping[str, bytes]) -> str:
        for name, data in files.items():
            client_of(address).put(name, data)
        return address

    return put


def source(*patterns: str, **settings: Any) -> Source:
    return open_source(SourceSpec(path=patterns if len(patterns) > 1 else patterns[0], **settings), remote_tars)


def test_a_source_in_a_store_is_the_source_of_its_files(put: Any, tmp_path: Path) -> None:
    files = {f"train-{n}.tar": tar(f"{n}a", f"{n}b") for n in range(3)}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    near, far = source(str(tmp_path / "train-*.tar")), source(f"{put(files)}/train-*.tar")
    assert far.shards() == near.shards() and far.fingerprint == near.fingerprint and check_ids(far) == 6
    for shard in near.shards():
        assert list(far.read(shard)) == list(near.read(shard))
        assert far.open(shard).checksum() == near.open(shard).checksum()
    assert pickle.loads(pickle.dumps(far.open("train-1")))[1] == near.open("train-1")[1]
    assert pickle.loads(pickle.dumps(far)).shards() == near.shards()


@pytest.mark.parametrize(
    ("pattern", "shards"),
    [
        ("train-{0..1}.tar", ("train-0", "train-1")),
        ("train-?.tar", ("train-0", "train-1")),
        ("*.tar", ("test", "train-0", "train-1")),
        ("{test,train-1}.tar", ("test", "train-1")),
        ("deep/*/train-0.tar", ("train-0",)),
        ("deep/**/*.tar", ("other", "train-0")),
        ("train-0.tar", ("train-0",)),
    ],
)
def test_globs_and_braces_mean_what_they_mean_in_a_folder(put: Any, pattern: str, shards: tuple[str, ...]) -> None:
    names = ("train-0.tar", "train-1.tar", "test.tar", "notes.txt", "deep/a/train-0.tar", "deep/a/b/other.tar")
    address = put({name: tar(name.replace("/", "-").partition(".")[0]) for name in names})
    assert tuple(sorted(source(f"{address}/{pattern}").shards())) == shards


@pytest.mark.parametrize(
    ("patterns", "reason"),
    [
        (("ADDRESS/none-*.tar",), "no file matches"),
        (("ADDRESS/train-{0..5}.tar",), r"no file matches.*train-1\.tar"),
        (("ADDRESS/train-{0.tar",), "no partner|no file matches"),
        (("ADDRESS/a.tar.gz",), "compressed"),
        (("s3://no-such-bucket/a.tar",), "no such bucket"),
        (("ADDRESS/train-0.tar", "/tmp/a.tar"), "local and some are not"),
        (("https://example.org/a.tar",), "no local path"),
    ],
)
def test_a_pattern_that_means_no_file_is_named(put: Any, patterns: tuple[str, ...], reason: str) -> None:
    address = put({"train-0.tar": tar("a"), "a.tar.gz": b"1"})
    with pytest.raises(DataError, match=reason):
        source(*(pattern.replace("ADDRESS", address) for pattern in patterns))


def test_folders_are_listed_once_however_many_shards_are_named(put: Any, gate: Any) -> None:
    address = put({f"train-{n:03d}.tar": tar(str(n)) for n in range(20)})
    before = len(gate.requests)
    assert len(source(f"{address}/train-{{000..019}}.tar").shards()) == 20
    assert len(gate.requests) == before + 1


def test_a_shard_that_is_replaced_is_read_anew(put: Any) -> None:
    address = put({"train.tar": tar("a", "b")})
    first = source(f"{address}/train.tar").open("train")
    put({"train.tar": tar("c", "d")})  # of the same size
    second = source(f"{address}/train.tar").open("train")
    assert list(first.ids) == ["a", "b"] and first[0].id == "a" and list(second.ids) == ["c", "d"]


def test_a_shard_that_is_removed_or_cut_is_named_by_its_address(put: Any) -> None:
    address = put({"train.tar": tar("a", "b"), "cut.tar": tar("c")[:1024]})
    found = source(f"{address}/*.tar")
    client_of(address).delete(["train.tar"])
    with pytest.raises(DataError, match=rf"{address}/train.tar is not there any more"):
        found.open("train")
    with pytest.raises(DataError, match=rf"{address}/cut.tar: "):
        found.open("cut")


def test_a_shard_is_brought_once(put: Any, gate: Any) -> None:
    address = put({"train.tar": tar("a", "b")})
    found = source(f"{address}/train.tar")
    for _ in range(3):
        found.open("train")
    assert sum("train.tar" in path for path in gate.asked("GET")) == 1
    gate.shut()
    assert [sample.id for sample in found.read("train")] == ["a", "b"]


def test_a_lost_connection_is_one_clear_error(put: Any, gate: Any) -> None:
    found = source(f"{put({'train.tar': tar('a')})}/train.tar")
    gate.shut()
    with pytest.raises(DataError, match="source.path: s3://.*does not answer"):
        found.open("train")


def test_the_mirror_stays_below_its_bound_over_a_larger_source(
    put: Any, mirror: Path, monkeypatch: pytest.MonkeyPatch, held_bytes: Callable[[Path], int]
) -> None:
    shard = tar("a", size=100_000)
    address = put({f"train-{n}.tar": tar(str(n), size=100_000) for n in range(6)})
    monkeypatch.setenv("TEACHERCACHE_MIRROR_BYTES", str(2 * len(shard) + 10))
    found = source(f"{address}/train-*.tar")
    for _ in range(2):
        for name in found.shards():
            assert len(list(found.read(name))) == 1 and held_bytes(mirror) <= 2 * len(shard) + 10
