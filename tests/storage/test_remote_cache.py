"""Caches in an S3 server: written once, read through the mirror, never wrong, loud about a lost connection."""

import os
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from teachercache.cache import CacheError, CacheWriteError, DamagedCacheError, create_cache, open_cache
from teachercache.cache.keeping.verify import verify_cache
from teachercache.cache.remote.client import client_of
from teachercache.cache.storage.address import open_store

Values = dict[str, dict[str, np.ndarray]]


def logits(cache: Any, values: Values) -> None:
    """Every row is what was written."""
    expected = np.concatenate([values[shard]["logits"] for shard in cache.shards])
    np.testing.assert_array_equal(
        cache.read(np.arange(cache.rows), ["logits"]).signals["logits"], expected.astype(np.float16)
    )


def mapped_and_gone(mirror: Path) -> int:
    """Files of signals that this process maps though they have left the mirror: they still take their space."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return sum(f"{mirror}/" in line and "/logits/" in line and "(deleted)" in line for line in lines)


def test_a_cache_in_a_store_reads_as_one_in_a_folder(make_cache: Any, address: str, tmp_path: Path) -> None:
    far, values = make_cache(address, 11, 4, 0)
    near, _ = make_cache(tmp_path / "near-cache", 11, 4, 0)
    assert far.url == address and far.rows == near.rows == 30 and far.missing() == ()
    rows = np.random.default_rng(0).permutation(30)
    for name in near.signals:
        for part, expected in near.encoded(name, rows).items():
            np.testing.assert_array_equal(far.encoded(name, rows)[part], expected)
    np.testing.assert_array_equal(far.read(rows).ids, near.read(rows).ids)
    logits(pickle.loads(pickle.dumps(far)), values)
    assert verify_cache(far) == []


def test_only_the_signals_that_are_read_are_brought_near(
    make_cache: Any, address: str, gate: Any, mirror: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make_cache(address, 11)
    monkeypatch.setenv("TEACHERCACHE_MIRROR", str(tmp_path / "another"))
    open_cache(address).encoded("logits", np.arange(22))
    brought = {path.name for path in (tmp_path / "another/mirror").glob("*/shards/*/*")}
    assert brought == {"logits"}


def test_an_epoch_after_the_first_asks_the_store_for_nothing(
    make_cache: Any, address: str, gate: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make_cache(address, 11, 9, 7)
    monkeypatch.setenv("TEACHERCACHE_MIRROR", str(tmp_path / "another"))
    cache = open_cache(address)

    def epoch(number: int) -> list[Any]:
        batches = list(cache.batches(8, seed=0, epoch=number, window=2))
        assert sum(len(batch.rows) for batch in batches) == 54
        return batches

    epoch(0)
    asked = len(gate.requests)
    gate.shut()
    epoch(1)
    assert len(gate.requests) == asked > 0


def test_a_mirror_that_is_too_small_for_all_still_reads_all(
    make_cache: Any,
    address: str,
    mirror: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    held_bytes: Callable[[Path], int],
) -> None:
    _, values = make_cache(address, *[40] * 8)
    per_shard = max(receipt.bytes for receipt in open_cache(address).receipts.values())
    monkeypatch.setenv("TEACHERCACHE_MIRROR", str(tmp_path / "small"))
    monkeypatch.setenv("TEACHERCACHE_MIRROR_BYTES", str(2 * per_shard))
    cache = open_cache(address)
    for epoch in range(2):
        for batch in cache.batches(32, ["logits"], seed=epoch, window=2):
            assert held_bytes(tmp_path / "small/mirror") <= 2 * per_shard
            for shard, local, row in zip(*cache.locate(batch.rows), batch.signals["logits"], strict=True):
                np.testing.assert_array_equal(row, values[f"s{shard}"]["logits"][local].astype(np.float16))
            assert mapped_and_gone(tmp_path / "small") <= 2
    assert cache.store.departures() > 0


def test_two_builders_of_one_shard_leave_one_receipt_and_one_folder(make_cache: Any, address: str) -> None:
    cache, values = make_cache(address, 5)
    store = open_store(address)
    store.move("receipts/s0.json", "receipts/damaged/s0.json")
    for turn in range(3):
        store.remove(["receipts/s0.json", *{"/".join(f.name.split("/")[:2]) for f in store.tree("shards/")}, "rows"])
        writers = [threading.Thread(target=make_cache, args=(address, 5)) for _ in range(2)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        again = open_cache(address)
        folders = {name.split("/")[1] for name in (f.name for f in store.tree("shards")) if "." in name.split("/")[1]}
        assert folders - {"zarr.json"} == {again.receipts["s0"].folder.split("/")[1]}, turn
        logits(again, values)


def test_a_store_that_forgets_the_condition_is_found_out(gate: Any, address: str) -> None:
    gate.conditional = False
    store = open_store(address)
    assert store.publish("receipts/a.json", b"first") and not store.publish("receipts/a.json", b"second")
    assert store.read("receipts/a.json") == b"first"
    assert client_of(address).create("receipts/a.json", b"third"), "this server was asked without the condition"


def test_the_condition_is_sent_to_a_store_that_knows_it(gate: Any, address: str) -> None:
    client = client_of(address)
    assert client.create("a", b"first") and not client.create("a", b"second") and client.get("a") == b"first"


def test_an_answer_that_was_lost_is_no_defeat(gate: Any, address: str) -> None:
    store = open_store(address)
    store.publish("probe", b"")
    client_of(address).put("receipts/a.json", b"ours")  # the first request arrived, its answer did not
    assert store.publish("receipts/a.json", b"ours")


@pytest.mark.parametrize("part", ["logits/values/c/0/0", "logits/zarr.json", "rows", "logits/values/zarr.json"])
def test_damage_in_the_store_is_found_by_verify(
    make_cache: Any, address: str, tmp_path: Path, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, _ = make_cache(address, 5, 3)
    folder = cache.receipts["s1"].folder
    name = f"rows/{folder.split('/')[1]}.arrow" if part == "rows" else f"{folder}/{part}"
    data = bytearray(cache.store.read(name))
    data[len(data) // 2] ^= 1
    cache.store.replace(name, bytes(data))
    assert [damage.shard for damage in verify_cache(open_cache(address))] == ["s1"]
    if not name.endswith("logits/zarr.json"):  # which no reader needs
        monkeypatch.setenv("TEACHERCACHE_MIRROR", str(tmp_path / "another"))
        fresh = open_cache(address)
        with pytest.raises(DamagedCacheError, match=r"s3://.*s1.*(xxh3|hash)"):
            fresh.read(np.arange(fresh.rows), ["logits"])


@pytest.mark.parametrize("change", ["cut", "longer", "empty", "gone"])
def test_a_file_of_another_size_is_damage_when_it_is_read(
    make_cache: Any, address: str, tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, _ = make_cache(address, 5, 3)
    name = f"{cache.receipts['s1'].folder}/logits/values/c/0/0"
    data = cache.store.read(name)
    if change == "gone":
        client_of(address).delete([name])
    else:
        cache.store.replace(name, {"cut": data[:-1], "longer": data + b"1", "empty": b""}[change])
    monkeypatch.setenv("TEACHERCACHE_MIRROR", str(tmp_path / "another"))
    fresh = open_cache(address)
    with pytest.raises(DamagedCacheError, match="no such object" if change == "gone" else "bytes where"):
        fresh.encoded("logits", np.arange(fresh.rows))
    assert [damage.shard for damage in verify_cache(open_cache(address))] == ["s1"]


def test_a_store_that_loses_connection_is_one_clear_error(make_cache: Any, address: str, gate: Any) -> None:
    cache, _ = make_cache(address, 5)
    cache.store.move("receipts/s0.json", "receipts/aside.json")
    writer = open_cache(address).writer("s0")
    gate.shut()
    with pytest.raises(CacheError, match="does not answer.*run the same command again") as caught:
        open_cache(address)
    assert not isinstance(caught.value, DamagedCacheError) and "\n" not in str(caught.value)
    with pytest.raises(CacheWriteError, match="does not answer"):
        writer._store.commit(writer._name)
    writer.discard()
    gate.open = True
    assert open_cache(address).missing() == ("s0",)


def test_verify_does_not_take_a_lost_connection_for_damage(make_cache: Any, address: str, gate: Any) -> None:
    cache, _ = make_cache(address, 5)
    gate.shut()
    with pytest.raises(CacheError, match="does not answer"):
        verify_cache(cache, lambda shard: setattr(gate, "open", True))  # which is too late for the first shard


def test_a_bucket_that_is_not_there_is_named(gate: Any) -> None:
    for ask in (open_cache, lambda where: open_store(where).entries("receipts")):
        with pytest.raises(CacheError, match=r"s3://no-such-bucket.*there is no such bucket"):
            ask("s3://no-such-bucket/cache")
    with pytest.raises(CacheError, match="is no cache"):
        open_cache("s3://tests/nothing-here")


@pytest.mark.parametrize("where", ["s3://", "s3:///prefix", "memory://", "gs:////"])
def test_an_address_without_a_bucket_is_refused(mirror: Path, where: str) -> None:
    with pytest.raises(CacheError, match="names no bucket"):
        open_cache(where)


def test_a_forked_process_reads_what_is_not_near(
    make_cache: Any, address: str, gate: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _, values = make_cache(address, 11, 4)
    monkeypatch.setenv("TEACHERCACHE_MIRROR", str(tmp_path / "another"))
    cache = open_cache(address)
    assert cache.rows == 30
    child = os.fork()
    if child == 0:
        try:
            logits(cache, values)
            os._exit(0)
        except BaseException as error:
            print(repr(error))
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    gate.shut()
    logits(cache, values)  # what the child fetched lies in the mirror they share


def test_files_are_fetched_ahead(
    make_cache: Any, address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cache, _ = make_cache(address, 11, 4)
    monkeypatch.setenv("TEACHERCACHE_MIRROR", str(tmp_path / "another"))
    store = open_store(address)
    names = [f"{receipt.folder}/logits/values/c/0/0" for receipt in cache.receipts.values()]
    store.fetch([*names, "shards/s0.none/not/there"])
    deadline = threading.Event()
    while len(list((tmp_path / "another/mirror").rglob("[0-9]"))) < 2 and not deadline.wait(0.02):
        pass


def test_a_large_file_comes_in_pieces_and_whole(address: str, tmp_path: Path) -> None:
    store = open_store(address)
    data = np.random.default_rng(0).bytes((1 << 24) * 2 + 12345)
    (store.stage("shards/big.1") / "file").write_bytes(data)
    store.commit("shards/big.1")
    assert b"".join(store.pieces("shards/big.1/file")) == data


def test_an_extra_that_is_missing_is_named(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins

    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "obstore":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(CacheError, match=r"pip install 'teachercache\[s3\]'"):
        open_cache("s3://somewhere/else-entirely")
    with pytest.raises(CacheError, match="nosuchscheme"):
        open_cache("nosuchscheme://a/b")


def test_another_manifest_at_the_address_is_refused(make_cache: Any, address: str) -> None:
    cache, _ = make_cache(address, 5)
    from dataclasses import replace

    other = replace(cache.manifest, fingerprint={"teacher": {"weights": "other"}})
    with pytest.raises(CacheError, match="weights"):
        create_cache(address, other)
