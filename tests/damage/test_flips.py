"""One flipped bit, anywhere: `verify` finds it, reading finds it when it checks, and it never kills a reader.

What JSON and the table of receipts can say in two ways (1e5 and 1E5, bytes between buffers) may be flipped unfound, for
it means the same.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from every_form import everything, make_cache, make_small_cache, meaning, replaced, same
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from teachercache.cache import CacheError
from teachercache.cache.keeping.verify import verify_members
from teachercache.cache.opening import note_receipts, open_members

HERE = Path(__file__).parent
KINDS = {  # of files, by what they hold
    "manifest": "manifest.json",
    "receipt": "receipts/s0.json",
    "table of receipts": "receipts.arrow",
    "row index": "rows/s0.*.arrow",
    "constant": "constants/head.weight.*.npy",
    "root": "shards/zarr.json",
    "shard": "shards/s0.*/zarr.json",
    "signal": "shards/s0.*/f16/zarr.json",
    "array": "shards/s0.*/f16/values/zarr.json",
    "values": "shards/s0.*/f16/values/c/0/0/0",
    "lengths": "shards/s0.*/text/lengths/c/0",
    "ragged values": "shards/s0.*/text/values/c/0/0",
    "marker of an extension": "extensions/001-zstd.json",
    "manifest of an extension": "extensions/001-zstd/manifest.json",
    "receipt of an extension": "extensions/001-zstd/receipts/s1.json",
    "row index of an extension": "extensions/001-zstd/rows/s1.*.arrow",
    "compressed values": "extensions/001-zstd/shards/s0.*/topk.zstd/values/c/0/0",
    "compressed ragged values": "extensions/001-zstd/shards/s0.*/maps.zstd/values/c/0/0",
    "array that is compressed": "extensions/001-zstd/shards/s0.*/topk.zstd/values/zarr.json",
}


@pytest.fixture(scope="module")
def small() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        make_small_cache(Path(folder) / "cache")
        yield Path(folder) / "cache"


@pytest.fixture(scope="module")
def full() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        make_cache(Path(folder) / "cache")
        yield Path(folder) / "cache"


def flipped(data: bytes, position: int, bit: int) -> bytes:
    changed = bytearray(data)
    changed[position] ^= 1 << bit
    return bytes(changed)


def is_harmless(path: Path, before: bytes) -> bool:
    try:
        return bool(meaning(path, path.read_bytes()) == meaning(path, before))
    except CacheError:
        return False


def verify_finds(root: Path) -> bool:
    try:
        return bool(verify_members(open_members(root)))
    except CacheError as error:
        return bool(str(error))


def try_flip(root: Path, path: Path, position: int, bit: int) -> None:
    """Assert all of it for one bit of a file."""
    before, whole = path.read_bytes(), everything(root)
    for member in (root, root / "extensions/001-zstd"):
        note_receipts(member)  # another test has touched the receipts
    before = path.read_bytes() if path.name == "receipts.arrow" else before
    where = f"{path.relative_to(root)}, byte {position}, bit {bit}"
    with replaced({path: flipped(before, position, bit)}):
        harmless = is_harmless(path, before)
        assert verify_finds(root) or harmless, where
        try:
            assert same(everything(root, check=True), whole), where
        except CacheError as error:
            assert str(error) and not harmless, where


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_at_either_end_and_inside_of_each_kind_of_file_is_found(small: Path, kind: str) -> None:
    (path,) = small.glob(KINDS[kind])
    size = path.stat().st_size
    for number, position in enumerate((0, size // 4, size // 2, 3 * size // 4, size - 9, size - 1)):
        try_flip(small, path, position, number)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.randoms(use_true_random=False))
def test_a_flipped_bit_anywhere_in_a_cache_of_every_form_is_found(full: Path, random: object) -> None:
    files = sorted(path for path in full.rglob("*") if path.is_file())
    path = files[random.randrange(len(files))]  # type: ignore[attr-defined]
    try_flip(full, path, random.randrange(path.stat().st_size), random.randrange(8))  # type: ignore[attr-defined]


@pytest.mark.slow
def test_a_flipped_bit_in_every_file_of_a_cache_of_every_form_is_found(full: Path) -> None:
    for path in sorted(path for path in full.rglob("*") if path.is_file()):
        size = path.stat().st_size
        for position in range(0, size, max(1, size // 5)):
            try_flip(full, path, position, position % 8)


@pytest.mark.slow
def test_every_byte_of_a_row_index_and_of_every_small_file_is_found(small: Path) -> None:
    for kind, pattern in KINDS.items():
        (path,) = small.glob(pattern)
        for position in range(path.stat().st_size if path.stat().st_size < 3000 or "index" in kind else 0):
            try_flip(small, path, position, position % 8)


@pytest.mark.parametrize(
    ("form", "pattern", "flips"), [("full", "*", 60), ("small", "*rows/*", 150), ("small", "*.npy", 20)]
)
def test_a_flipped_bit_never_kills_a_reader_that_does_not_check(
    form: str, pattern: str, flips: int, request: pytest.FixtureRequest
) -> None:
    survives(request.getfixturevalue(form), 0, flips, pattern)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_thousands_of_flipped_bits_never_kill_a_reader_that_does_not_check(full: Path, small: Path, seed: int) -> None:
    survives(full, seed, 1000, "*")
    survives(small, seed, 3000, "*rows/*")


def survives(root: Path, seed: int, flips: int, pattern: str) -> None:
    command = [sys.executable, str(HERE / "flipping.py"), str(root), str(seed), str(flips), pattern]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.endswith("survived\n"), (
        f"exit {done.returncode} after {done.stdout.splitlines()[-1:]}: {done.stderr[-2000:]}"
    )
