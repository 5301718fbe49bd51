"""Documents whose checksum is right and whose content cannot be meant: one clear error, and nothing like what they
claim is ever allocated."""

import copy
import resource
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grid_members import make_whole, write_part
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from teachercache.cache import CacheError, Rectangle, open_cache
from teachercache.cache.format.document import open_document, seal_document
from teachercache.cache.opening import note_receipts

WHOLE = make_whole([3, 2], 2, ["logits", "top", "embedding"])
BASE = Rectangle(("s0", "s1"), 0, 2, ("logits", "top"))
ADDED = Rectangle(("s0", "s1"), 0, 2, ("embedding",))
MANIFEST, RECEIPT = "manifest.json", "receipts/s0.json"
DOCUMENTS = (MANIFEST, RECEIPT, "extensions/001-x.json", f"extensions/001-x/{MANIFEST}", f"extensions/001-x/{RECEIPT}")
VALUES = st.one_of(
    st.sampled_from([None, True, -1, 0, 1, 3, 1 << 31, 1 << 62, 1 << 70, -(1 << 70), 0.5, float("nan"), float("inf")]),
    st.sampled_from(["", "..", "../../etc", "/etc/passwd", "s0", "s1", "shards/s1.0", "a" * 300, "\ud800", "\0", "é"]),
    st.sampled_from([[], {}, [[]], [None], {"a": {}}, [1 << 40] * 3, ["s0", "s0"]]),
)


@pytest.fixture(scope="module")
def built() -> Iterator[Path]:
    """A small cache with an extension, made once."""
    with tempfile.TemporaryDirectory() as folder:
        write_part(Path(folder), WHOLE, BASE)
        write_part(Path(folder), WHOLE, ADDED, "001-x")
        yield Path(folder)


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place of a JSON value, the outermost left out."""
    keys = content if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ()
    for key in keys:
        yield (*path, key)
        yield from places(content[key], (*path, key))


def use(root: Path) -> None:
    """Open the cache, and read what it says it has."""
    cache = open_cache(root)
    rows = np.arange(min(cache.rows, 20))
    batch = cache.read(rows)
    assert len(batch) == len(rows) and all(cache.codec(name) is not None for name in cache.signals)
    for shard in cache.shards[:5]:
        assert len(cache.reader(shard).index) == len(cache.reader(shard))
    cache.missing(), [receipt.bytes for receipt in cache.receipts.values()], cache.manifest.row_bytes()  # noqa: B018


def try_changed(built: Path, document: str, content: Any) -> None:
    """Put a document into a copy of the cache: it is used, or refused in one sentence."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "cache"
        shutil.copytree(built, root)
        try:
            (root / document).write_bytes(seal_document(content))
        except (UnicodeEncodeError, ValueError):
            return  # JSON has no such text
        for _ in range(2):
            try:
                use(root)
            except CacheError as error:
                assert str(error)
            (root / "receipts.arrow").unlink(missing_ok=True)
            try:
                note_receipts(root)  # the second time there is a table
            except CacheError as error:
                assert str(error)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(DOCUMENTS), st.randoms(use_true_random=False), VALUES)
@example("manifest.json", None, None)
def test_a_document_with_an_impossible_value_is_refused_or_harmless(
    built: Path, document: str, random: Any, value: Any
) -> None:
    content = open_document((built / document).read_bytes(), document)
    where = list(places(content))
    for path in where[:1] if random is None else [where[random.randrange(len(where))]]:
        changed = copy.deepcopy(content)
        inner: Any = changed
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        try_changed(built, document, changed)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_each_field_that_is_missing_or_null_is_refused_or_harmless(built: Path, document: str) -> None:
    content = open_document((built / document).read_bytes(), document)
    for field in content:
        if field != "format":
            try_changed(built, document, {key: value for key, value in content.items() if key != field})
            try_changed(built, document, {**content, field: None})


@pytest.mark.parametrize(
    ("document", "field", "value"),
    [
        (MANIFEST, "shards", ["s0", "s0"]),
        (MANIFEST, "shards", ["../s0", "s1"]),
        (MANIFEST, "views", 1 << 40),
        (MANIFEST, "views", True),
        (MANIFEST, "block", -4),
        (MANIFEST, "block", 1 << 40),
        (RECEIPT, "rows", 1 << 70),
        (RECEIPT, "rows", -2),
        (RECEIPT, "rows", 7),
        (RECEIPT, "folder", "shards/s1.0"),
        (RECEIPT, "folder", "shards/s0.1/../../.."),
        (RECEIPT, "source", ["x"]),
        (RECEIPT, "cost", 5),
        (RECEIPT, "files", {"shards/../../x": {"bytes": 1, "xxh3": "0"}}),
        (RECEIPT, "files", {"shards/x": {"bytes": 1 << 70, "xxh3": "0"}}),
    ],
)
def test_what_cannot_be_meant_is_an_error(built: Path, tmp_path: Path, document: str, field: str, value: Any) -> None:
    root = tmp_path / "cache"
    shutil.copytree(built, root)
    content = open_document((root / document).read_bytes(), document)
    (root / document).write_bytes(seal_document({**content, field: value}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CacheError):
        use(root)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_a_signal_of_a_size_that_cannot_be_is_refused_before_it_is_allocated(built: Path, tmp_path: Path) -> None:
    for shape in ([1 << 30, 1 << 30], [1 << 31], [-1], [0], [True], [2.0], "big"):
        root = tmp_path / "cache"
        shutil.copytree(built, root)
        content = open_document((root / MANIFEST).read_bytes(), MANIFEST)
        content["signals"][0]["shape"] = shape
        (root / MANIFEST).write_bytes(seal_document(content))
        with pytest.raises(CacheError):
            use(root)
        shutil.rmtree(root)


def test_a_folder_that_is_a_link_to_itself_does_no_harm(built: Path, tmp_path: Path) -> None:
    root = tmp_path / "cache"
    shutil.copytree(built, root)
    (root / "extensions/001-x/extensions").symlink_to(root / "extensions")
    (root / "receipts/loop").symlink_to(root / "receipts")
    (root / "receipts/dangling.json").symlink_to(root / "nothing")
    use(root)
