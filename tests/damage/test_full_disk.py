"""A disk that is full in the middle of each kind of write: one clear error, nothing half-written is read, and the same
command finishes when there is space. On a small file system of its own where this user may mount one, elsewhere with a
limit on the size of files."""

import os
import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from every_form import BASE, make_manifest, write_shard

from teachercache.cache import CacheWriteError, open_cache
from teachercache.cache.export.export import export_cache
from teachercache.cache.keeping.repair import repair_members
from teachercache.cache.keeping.verify import verify_cache, verify_members
from teachercache.cache.opening import create_cache, note_receipts, open_members
from teachercache.cache.rewriting.recode import NewCodec, recode_plan
from teachercache.cache.rewriting.rewrite import rewrite
from teachercache.cache.rewriting.shard_union import plan_union, unite_shards
from teachercache.cache.rewriting.slice import slice_plan

SIGNALS = {name: BASE[name] for name in ("f32", "topk")}
SAMPLES = {"s0": 2000, "s1": 2000}  # about 400 kB


def build(root: Path) -> None:
    cache = create_cache(root, make_manifest(SIGNALS))
    for shard in cache.missing():
        write_shard(cache, shard, SAMPLES[shard])
    note_receipts(root)


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("parent") / "cache"
    build(root)
    return root


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system of 4 MB."""
    place = tmp_path_factory.mktemp("disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "teachercache-test", str(place)]
    try:
        mounted = os.geteuid() == 0 and subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("this user may not mount a small file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@contextmanager
def full(disk: Path, free: int) -> Iterator[None]:
    """All but `free` bytes are taken, for a while."""
    space = os.statvfs(disk)
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        file.write(b"\0" * max(0, space.f_bavail * space.f_frsize - free))
    try:
        yield
    finally:
        ballast.unlink()


def recode(parent: Path, out: Path) -> None:
    rewrite(str(out), recode_plan(open_cache(parent), {"f32": NewCodec("int8", {}, "zstd")}))


def slice_(parent: Path, out: Path) -> None:
    rewrite(str(out), slice_plan(open_cache(parent), ["f32"]))


def merge(parent: Path, out: Path) -> None:
    part = open_cache(parent)
    unite_shards(str(out), [part], plan_union([part]), lambda done, total: None)


WRITES: dict[str, Callable[[Path, Path], None]] = {
    "build": lambda parent, out: build(out),
    "recode": recode,
    "slice": slice_,
    "merge": merge,
}


@pytest.mark.parametrize("free", [0, 16_000, 120_000, 260_000])
@pytest.mark.parametrize("verb", WRITES)
def test_a_full_disk_is_one_error_and_the_same_command_finishes_later(
    disk: Path, parent: Path, verb: str, free: int
) -> None:
    out = disk / f"{verb}-{free}"
    with full(disk, free):
        try:
            WRITES[verb](parent, out)
        except CacheWriteError as error:
            assert "the disk is full; free some space and run the same command again" in str(error)
        else:
            assert free > 100_000
        if (out / "manifest.json").exists():
            assert verify_cache(open_cache(out)) == []
    WRITES[verb](parent, out)
    cache = open_cache(out)
    assert cache.missing() == () and verify_cache(cache) == []
    subprocess.run(["rm", "-r", str(out)], check=True)


@pytest.mark.parametrize("free", [0, 8_000, 60_000])
@pytest.mark.parametrize("to", ["parquet", "npy"])
def test_an_export_to_a_full_disk_is_one_error_and_finishes_later(disk: Path, parent: Path, to: str, free: int) -> None:
    out = disk / f"export-{to}-{free}"
    with full(disk, free), pytest.raises(CacheWriteError, match="the disk is full"):
        export_cache(open_cache(parent), out, to)
    assert not list(out.glob("s*")) or free
    export_cache(open_cache(parent), out, to)
    assert sorted(path.stem for path in out.glob("s*")) == list(SAMPLES)
    if to == "npy":
        np.testing.assert_array_equal(
            np.load(out / "s1/f32.npy"), open_cache(parent).read(np.arange(4000, 8000), ["f32"]).signals["f32"]
        )
    subprocess.run(["rm", "-r", str(out)], check=True)


def test_a_full_disk_hinders_neither_reading_nor_the_table_of_receipts_nor_repair(disk: Path) -> None:
    root = disk / "kept"
    build(root)
    (path,) = root.glob("shards/s0.*/f32/values/c/0/0")
    expected = open_cache(root).read(np.arange(100)).signals["f32"]
    (root / "receipts.arrow").unlink()
    with full(disk, 0):
        note_receipts(root)  # may be left out
        np.testing.assert_array_equal(open_cache(root).read(np.arange(100)).signals["f32"], expected)
        data = bytearray(path.read_bytes())
        data[0] ^= 1
        with path.open("r+b") as file:
            file.write(data[:1])
        members = open_members(root)
        done = repair_members(members, verify_members(members))
        assert [damage.shard for damage in done.retired] == ["s0"]
        assert open_cache(root).shards == ("s1",)
    build(root)
    assert verify_cache(open_cache(root)) == [] and open_cache(root).missing() == ()
    subprocess.run(["rm", "-r", str(root)], check=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("verb", WRITES)
def test_a_limit_on_the_size_of_files_is_one_error_too(tmp_path: Path, parent: Path, verb: str) -> None:
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        try:
            WRITES[verb](parent, tmp_path / "out")
        except CacheWriteError as error:
            os._exit(10 if "larger than this system allows" in str(error) else 11)
        except BaseException:
            os._exit(12)
        os._exit(0)  # merge links files, and writes none
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == 10 or (verb == "merge" and status in (0, 10))
    WRITES[verb](parent, tmp_path / "out")
    cache = open_cache(tmp_path / "out")
    assert cache.missing() == () and verify_cache(cache) == []
