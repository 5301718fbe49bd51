"""Files that are cut, empty, gone, a folder, a pipe, a device, or a link to themselves: one clear error of the cache.

Or what the format says of a file that is not there; never another exception, a hang, or other values."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from every_form import BASE, everything, make_manifest, make_small_cache, same, write_shard
from test_flips import KINDS

from teachercache.cache import CacheError, DamagedCacheError
from teachercache.cache.keeping.verify import verify_members
from teachercache.cache.opening import cache_exists, create_cache, open_members

HERE = Path(__file__).parent
FOLDERS = {"receipts": "receipts", "rows": "rows", "a shard": "shards/s0.*", "an array": "shards/s0.*/f16/values"}
ABSENT = {"receipt", "receipt of an extension", "marker of an extension", "receipts"}  # what is not there is not built
UNREAD = {"table of receipts", "root", "shard", "signal"}  # reading rows does without


@pytest.fixture(scope="module")
def small() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        make_small_cache(Path(folder) / "cache")
        yield Path(folder) / "cache"


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def as_folder(path: Path) -> None:
    remove(path)
    path.mkdir()


def as_loop(path: Path) -> None:
    remove(path)
    path.symlink_to(path.name)


def as_device(path: Path) -> None:
    remove(path)
    path.symlink_to("/dev/zero")


def as_pipe(path: Path) -> None:
    remove(path)
    os.mkfifo(path)


def as_link_to_another(path: Path) -> None:
    remove(path)
    path.symlink_to(Path("/etc/hostname") if Path("/etc/hostname").is_file() else Path(__file__))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut_a_little(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2])


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


OF_FILES = (remove, as_folder, as_loop, as_device, as_pipe, as_link_to_another, empty, cut_a_little, halved, longer)
OF_FOLDERS = (remove, as_folder, as_loop, as_link_to_another)
CASES = [(kind, how) for kind in KINDS for how in OF_FILES] + [(kind, how) for kind in FOLDERS for how in OF_FOLDERS]


@contextmanager
def changed(path: Path, how: Callable[[Path], None]) -> Iterator[None]:
    """The cache with one thing wrong, for a while."""
    aside = path.with_name(f".{path.name}.aside.tmp")
    shutil.copytree(path, aside) if path.is_dir() else shutil.copy2(path, aside)
    try:
        how(path)
        yield
    finally:
        if path.exists() or path.is_symlink():
            path.unlink() if path.is_symlink() or not path.is_dir() else shutil.rmtree(path)
        aside.rename(path)


@pytest.mark.parametrize("how", sorted({how for _, how in CASES}, key=lambda how: how.__name__))
def test_whatever_stands_in_a_files_place_is_one_clear_error(small: Path, how: Callable[[Path], None]) -> None:
    whole = everything(small)
    for kind in [kind for kind, each in CASES if each is how]:
        (path,) = small.glob({**KINDS, **FOLDERS}[kind])
        gone = how is remove or (how is as_folder and path.is_file()) or kind == "receipts"
        with changed(path, how):
            found = check_verify(small)
            for check in (False, True):
                try:
                    same_values = same(everything(small, check), whole)
                except CacheError as error:
                    assert str(error).startswith((str(small), "extension", "shard", "the ")), (kind, error)
                    same_values = True
                assert same_values or (gone and kind in ABSENT), kind
            assert found or (gone and kind in {*ABSENT, "table of receipts"}), f"verify is blind: {kind}"
            cache_exists(small)
    assert same(everything(small), whole)


def check_verify(root: Path) -> bool:
    try:
        return bool(verify_members(open_members(root)))
    except CacheError as error:
        return bool(str(error))


def test_who_builds_a_shard_whose_receipt_cannot_be_read_is_told(tmp_path: Path) -> None:
    cache = create_cache(tmp_path, make_manifest({"f16": BASE["f16"]}))
    (tmp_path / "receipts/s0.json").mkdir(parents=True)
    with pytest.raises(DamagedCacheError, match="receipts/s0.json cannot be read"):
        write_shard(cache, "s0", 3)


CUT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from every_form import *
root = Path(sys.argv[1])
cache = open_cache(root)
cache.encoded("f32", np.arange(4))
path, = root.glob("shards/s0.*/f32/values/c/0/0")
size = path.stat().st_size
with path.open("r+b") as file:
    file.truncate(0)
print("cut", size, flush=True)
try:
    cache.encoded("f32", np.arange(4))
finally:
    with path.open("r+b") as file:
        file.truncate(size)
print("survived", flush=True)
"""


def test_a_file_that_is_cut_while_it_is_mapped_ends_the_reader_and_no_other(tmp_path: Path) -> None:
    """What docs/reading.md says: the system kills the process; whoever opens the cache afterwards gets an error."""
    cache = create_cache(tmp_path / "cache", make_manifest({"f32": BASE["f32"]}))
    for shard in ("s0", "s1"):
        write_shard(cache, shard, 4)
    command = [sys.executable, "-c", CUT, str(tmp_path / "cache"), str(HERE)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.startswith("cut") and "survived" not in done.stdout and done.returncode < 0, done.stderr
    with pytest.raises(DamagedCacheError, match="has 0 bytes where"):
        everything(tmp_path / "cache")
