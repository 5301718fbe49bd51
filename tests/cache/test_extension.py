"""Extensions: a joined cache is finished when all its members are, and members that do not fit are never joined."""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grid_members import SCHEMAS, make_whole, write_part, write_shard

from teachercache.cache import (
    CacheError,
    DamagedCacheError,
    Rectangle,
    SmallerCacheError,
    StaleCacheError,
    open_cache,
)
from teachercache.cache.format.document import open_document, seal_document
from teachercache.cache.grid.extension import extension_names, publish_extension
from teachercache.cache.opening import open_members
from teachercache.cache.storage.folder import FolderStore

WHOLE = make_whole([3, 2], 3, ["logits", "embedding"])
BASE = Rectangle(("s0", "s1"), 0, 2, ("logits",))
VIEWS = Rectangle(("s0", "s1"), 2, 1, ("logits",))
SIGNAL = Rectangle(("s0", "s1"), 0, 2, ("embedding",))


def fingerprint_of(part: Rectangle, teacher: str = "t") -> dict[str, Any]:
    signals = {name: {"codec": SCHEMAS[name].codec} for name in part.signals}
    return {"teacher": teacher, "signals": signals}


@dataclass(frozen=True)
class Wanted:
    """Whoever asks for a rectangle."""

    rectangle: Rectangle
    teacher: str = "t"

    def fingerprint(self, part: Rectangle) -> Mapping[str, Any]:
        found = fingerprint_of(part, self.teacher)
        return found if part.signals else {"signals": {}}


def test_a_shard_is_finished_when_every_member_that_covers_it_has_it(tmp_path: Path) -> None:
    write_part(tmp_path, WHOLE, BASE)
    assert open_cache(tmp_path).shards == ("s0", "s1")
    extension = write_part(tmp_path, WHOLE, SIGNAL, "001-x", shards=["s1"])
    joined = open_cache(tmp_path)
    assert joined.shards == ("s1",) and joined.missing() == ("s0",) and joined.row_counts.tolist() == [4]
    with pytest.raises(CacheError, match=r"1 of 2 shards are missing \(s0\)"):
        joined.require_complete()
    write_shard(extension, WHOLE, SIGNAL, "s0")
    joined = open_cache(tmp_path)
    joined.require_complete(["logits", "embedding"])
    assert joined.shards == ("s0", "s1") and joined.signals == ("logits", "embedding")


def test_the_base_alone_is_what_it_was(tmp_path: Path) -> None:
    base = write_part(tmp_path, WHOLE, BASE)
    before = open_cache(tmp_path).read(np.arange(10))
    files = {path: path.read_bytes() for path in base.root.rglob("*") if path.is_file()}
    for number, part in enumerate((SIGNAL, VIEWS), 1):
        write_part(tmp_path, WHOLE, part, f"{number:03d}-x")
    assert all(path.read_bytes() == data for path, data in files.items())
    alone = open_cache(tmp_path, extensions=False).read(np.arange(10))
    np.testing.assert_array_equal(before.signals["logits"], alone.signals["logits"])


def test_an_extension_without_marker_is_no_part_of_the_cache(tmp_path: Path) -> None:
    write_part(tmp_path, WHOLE, BASE)
    write_part(tmp_path, WHOLE, SIGNAL, "001-x", shards=[])
    (tmp_path / "extensions/001-x.json").unlink()
    assert open_cache(tmp_path).signals == ("logits",)
    publish_extension(FolderStore(tmp_path), "001-x")
    assert open_cache(tmp_path).signals == ("logits", "embedding")


@pytest.mark.parametrize("how", ["no manifest", "another manifest", "cut marker"])
def test_a_marker_that_names_another_manifest_is_damage(tmp_path: Path, how: str) -> None:
    write_part(tmp_path, WHOLE, BASE)
    write_part(tmp_path, WHOLE, SIGNAL, "001-x")
    marker = tmp_path / "extensions/001-x.json"
    if how == "no manifest":
        (tmp_path / "extensions/001-x/manifest.json").unlink()
    elif how == "another manifest":
        content = open_document(marker.read_bytes(), "")
        marker.write_bytes(seal_document({**content, "manifest": "0" * 32}))
    else:
        marker.write_bytes(marker.read_bytes()[:20])
    with pytest.raises(DamagedCacheError, match="001-x"):
        open_cache(tmp_path)


def test_extensions_stand_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    write_part(tmp_path, WHOLE, BASE)
    write_part(tmp_path, WHOLE, VIEWS, "010-a")
    write_part(tmp_path, WHOLE, SIGNAL, "002-b")
    (tmp_path / "extensions/.002-b.json.1234.tmp").write_bytes(b"")
    assert extension_names(FolderStore(tmp_path)) == ("002-b", "010-a")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"block": 8}, "block"),
        ({"parameters": ("left",)}, "parameters"),
        ({"signals": {"logits": replace(SCHEMAS["logits"], shape=(6,))}}, "signal logits"),
        ({"signals": {"logits": replace(SCHEMAS["logits"], codec="f32")}}, "signal logits"),
        ({"fingerprint": fingerprint_of(VIEWS, "another")}, "signal logits"),
    ],
)
def test_a_member_of_another_kind_is_not_joined(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    write_part(tmp_path, WHOLE, BASE)
    write_part(tmp_path, WHOLE, VIEWS, "001-x", shards=[], **changes)
    with pytest.raises(CacheError, match=words):
        open_cache(tmp_path)


def test_another_measured_error_of_the_same_signal_is_no_difference(tmp_path: Path) -> None:
    write_part(tmp_path, WHOLE, BASE)
    changed = {"logits": replace(SCHEMAS["logits"], error={"max_abs": 0.5})}
    write_part(tmp_path, WHOLE, VIEWS, "001-x", signals=changed)
    assert open_cache(tmp_path).rows == 15


def test_members_of_other_samples_are_damage(tmp_path: Path) -> None:
    write_part(tmp_path, WHOLE, BASE)
    extension = write_part(tmp_path, WHOLE, SIGNAL, "001-x", shards=["s1"])
    write_shard(extension, WHOLE, SIGNAL, "s0", source={"xxh3": "of other bytes"})
    with pytest.raises(DamagedCacheError, match="shard s0: .* were not built from the same samples"):
        open_cache(tmp_path)


def test_a_member_with_fewer_samples_is_damage(tmp_path: Path) -> None:
    write_part(tmp_path, WHOLE, BASE)
    write_part(tmp_path, make_whole([3, 1], 3, ["embedding"]), SIGNAL, "001-x")
    with pytest.raises(DamagedCacheError, match=r"shard s1: .* \(2 and 1 of them"):
        open_cache(tmp_path)


@pytest.mark.parametrize("field", ["ids", "labels"])
def test_row_indexes_that_disagree_are_damage(tmp_path: Path, field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_part(tmp_path, WHOLE, BASE)
    monkeypatch.setattr(
        type(WHOLE),
        field,
        lambda whole, shard: np.arange(whole.samples[shard])[::-1].astype(str if field == "ids" else int),
    )
    write_part(tmp_path, WHOLE, SIGNAL, "001-x")
    joined = open_cache(tmp_path)
    with pytest.raises(DamagedCacheError, match="shard s0: the row index in .*001-x does not name"):
        joined.reader("s0").index  # noqa: B018
    with pytest.raises(DamagedCacheError, match="does not name"):
        joined.take(["s0/0"])


def test_rows_that_no_member_has_are_an_error(tmp_path: Path) -> None:
    write_part(tmp_path, WHOLE, BASE)
    write_part(tmp_path, WHOLE, replace(SIGNAL, shards=("s1",), count=1), "001-x")
    joined = open_cache(tmp_path)
    assert joined.encoded("embedding", np.array([6, 8]))["values"].shape == (2, 3, 2)
    with pytest.raises(CacheError, match="no embedding of shard s1 under some views; `teachercache cache extend`"):
        joined.encoded("embedding", np.array([6, 7]))
    with pytest.raises(CacheError, match="no embedding of shard s0"):
        joined.reader("s0").read("embedding", np.array([0]))
    joined.require_complete(["logits"])
    with pytest.raises(CacheError, match="no embedding of shard s0"):
        joined.require_complete(["logits", "embedding"])


def test_samples_without_all_views_are_not_finished(tmp_path: Path) -> None:
    write_part(tmp_path, WHOLE, BASE)
    write_part(tmp_path, WHOLE, replace(VIEWS, shards=("s1",)), "001-x")
    joined = open_cache(tmp_path)
    assert joined.manifest.views == 3 and joined.shards == ("s1",) and joined.missing() == ("s0",)


def test_a_joined_cache_is_not_written_and_can_be_sent_elsewhere(tmp_path: Path) -> None:
    write_part(tmp_path, WHOLE, BASE)
    write_part(tmp_path, WHOLE, SIGNAL, "001-x")
    joined = open_cache(tmp_path)
    with pytest.raises(CacheError, match="each member is written by itself"):
        joined.writer("s0")
    there, rows = pickle.loads(pickle.dumps(joined)), np.arange(10)
    assert len(there.members) == 2
    np.testing.assert_array_equal(
        there.encoded("embedding", rows)["values"], joined.encoded("embedding", rows)["values"]
    )


def test_what_is_asked_for_decides_which_extensions_are_joined(tmp_path: Path) -> None:
    write_part(tmp_path, WHOLE, BASE)
    write_part(tmp_path, WHOLE, VIEWS, "001-views", shards=[])
    write_part(tmp_path, WHOLE, SIGNAL, "002-signal", shards=["s0"])
    # views and signals that nobody asks for may be unfinished
    cache = open_cache(tmp_path, Wanted(BASE))
    assert (cache.rows, cache.manifest.views, cache.signals) == (10, 2, ("logits",))
    more = open_cache(tmp_path, Wanted(replace(BASE, count=3)))
    assert more.manifest.views == 3 and more.missing() == ("s0", "s1")
    both = open_cache(tmp_path, Wanted(replace(BASE, signals=("embedding", "logits"))))
    assert both.shards == ("s0",)


def test_finished_signals_that_nobody_asks_for_stay_readable(tmp_path: Path) -> None:
    write_part(tmp_path, WHOLE, BASE)
    other = fingerprint_of(SIGNAL, "another teacher")
    write_part(tmp_path, WHOLE, SIGNAL, "001-x", fingerprint=other)
    cache = open_cache(tmp_path, Wanted(BASE))
    assert cache.signals == ("logits", "embedding") and cache.rows == 10
    assert cache.manifest.fingerprint["signals"]["embedding"]["teacher"] == "another teacher"
    assert open_cache(tmp_path, Wanted(SIGNAL, "another teacher")).rows == 10
    with pytest.raises(StaleCacheError, match=r"teacher: the cache has t, the configuration asks for another teacher"):
        open_cache(tmp_path, Wanted(BASE, "another teacher"))
    with pytest.raises(StaleCacheError, match="teacher: the cache has another teacher, the configuration asks for t"):
        open_cache(tmp_path, Wanted(replace(BASE, signals=("logits", "embedding"))))


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        (replace(BASE, count=3), SmallerCacheError, "logits: view 2 of 2 shards, from s0 on"),
        (replace(BASE, signals=("logits", "top")), SmallerCacheError, "top: views 0 to 1 of 2 shards"),
        (replace(BASE, shards=("s0", "s1", "s2")), SmallerCacheError, "logits: views 0 to 1 of s2"),
        (replace(BASE, count=1), StaleCacheError, "views.count: the cache has 2, the configuration asks for 1"),
        (replace(BASE, shards=("s0",)), StaleCacheError, "the cache has shard s1"),
    ],
)
def test_a_cache_that_is_not_what_is_asked_for_is_refused(
    tmp_path: Path, asked: Rectangle, error: type[CacheError], words: str
) -> None:
    write_part(tmp_path, WHOLE, BASE)
    with pytest.raises(error, match=words) as caught:
        open_cache(tmp_path, Wanted(asked))
    assert ("cache extend" in str(caught.value)) == (error is SmallerCacheError)


@pytest.mark.parametrize("first", [-1, 65535, "0", 1.5])
def test_an_impossible_first_view_is_refused(tmp_path: Path, first: Any) -> None:
    write_part(tmp_path, WHOLE, BASE)
    path = tmp_path / "manifest.json"
    path.write_bytes(seal_document({**open_document(path.read_bytes(), ""), "first_view": first}))
    with pytest.raises(CacheError, match="first_view"):
        open_members(tmp_path)


def test_views_are_called_by_their_numbers_in_a_cache_without_view_0(tmp_path: Path) -> None:
    write_part(tmp_path, WHOLE, replace(BASE, first=1))
    cache = open_cache(tmp_path)
    assert cache.read(np.arange(4)).views.tolist() == [1, 2, 1, 2]
    expected = WHOLE.values["logits"]["s1"][0]
    for view in (1, 2):
        batch = cache.take(["s1/0"], view=view)
        np.testing.assert_allclose(batch.signals["logits"][0], expected[view], rtol=1e-3)
        chosen = list(cache.batches(3, views=[view]))
        assert {int(number) for batch in chosen for number in batch.views} == {view}
        assert sum(map(len, chosen)) == 5
    for wrong in (lambda: cache.take(["s1/0"], view=0), lambda: cache.batches(3, views=[0])):
        with pytest.raises(CacheError, match="holds views 1 to 2, not 0"):
            wrong()
