"""Reading: the mapped path equals zarr-python, any client reads the files, every row is found again."""

import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import zarr

from teachercache.cache import Cache, CacheError, DamagedCacheError, create_cache, open_cache

Filled = Callable[..., tuple[Cache, dict[str, dict[str, np.ndarray]]]]


def test_zarr_python_and_pyarrow_alone_read_every_value(filled: Filled) -> None:
    cache, values = filled(20, 3, 17)
    root = zarr.open_group(str(cache.root / "shards"), mode="r")
    for shard, receipt in cache.receipts.items():
        group: Any = root[receipt.folder.removeprefix("shards/")]
        for name, x in values[shard].items():
            for part, expected in cache.codec(name).encode(x).items():
                np.testing.assert_array_equal(group[name][part][:], expected)
        index = pa.ipc.open_file(str(cache.root / "rows" / f"{Path(receipt.folder).name}.arrow")).read_all()
        assert index["id"].to_pylist() == [f"{shard}/{i // 2:04d}" for i in range(receipt.rows)]
        assert index["view"].to_pylist() == [i % 2 for i in range(receipt.rows)]
        assert index["label"].to_pylist() == [(i // 2 % 5 - 1) if i // 2 % 5 else None for i in range(receipt.rows)]


def test_a_zarr_client_walks_the_whole_tree_without_a_complaint(filled: Filled) -> None:
    cache, _ = filled(5, 6)
    names = [name for name, _ in zarr.open_group(str(cache.root / "shards"), mode="r").members(max_depth=None)]
    assert len(names) == 2 * (1 + 4 + 7)  # shard, signals, parts


def test_rows_come_back_in_the_order_asked_across_shards(filled: Filled) -> None:
    cache, values = filled(20, 3, 17)
    everything = np.concatenate([values[shard]["logits"] for shard in cache.shards])
    rows = np.random.default_rng(0).permutation(cache.rows)[:50]
    batch = cache.read(rows, ["logits"])
    np.testing.assert_array_equal(batch.signals["logits"], everything.astype("float16").astype("float32")[rows])
    ids = np.concatenate([cache.reader(shard).index.ids for shard in cache.shards])
    np.testing.assert_array_equal(batch.ids, ids[rows])
    np.testing.assert_array_equal(batch.views, rows % 2)


def test_samples_are_taken_by_id_under_a_view(filled: Filled) -> None:
    cache, values = filled(20, 3)
    batch = cache.take(["s1/0002", "s0/0011"], ["logits"], view=1)
    expected = np.stack([values["s1"]["logits"][5], values["s0"]["logits"][23]])
    np.testing.assert_array_equal(batch.signals["logits"], expected.astype("float16").astype("float32"))
    assert batch.labels.tolist() == [1, 0]
    with pytest.raises(CacheError, match="no sample 'nobody'"):
        cache.take(["s1/0002", "nobody"])
    with pytest.raises(CacheError, match="views 0 to 1"):
        cache.take(["s1/0002"], view=2)


def test_an_epoch_of_batches_holds_every_row_once_and_its_order_depends_on_the_epoch(filled: Filled) -> None:
    cache, _ = filled(40, 3, 33)
    epochs = [[batch.rows for batch in cache.batches(16, ["logits"], seed=3, epoch=e, window=2)] for e in (0, 1, 0)]
    for batches in epochs:
        np.testing.assert_array_equal(np.sort(np.concatenate(batches)), np.arange(cache.rows))
    assert not np.array_equal(epochs[0][0], epochs[1][0])
    np.testing.assert_array_equal(np.concatenate(epochs[0]), np.concatenate(epochs[2]))


def test_a_row_signal_or_shard_that_is_not_there_is_named(filled: Filled) -> None:
    cache, _ = filled(4)
    with pytest.raises(CacheError, match="no signal 'logit'; it has logits"):
        cache.read(np.array([0]), ["logit"])
    with pytest.raises(CacheError, match="rows 0 to 7"):
        cache.read(np.array([8]))
    with pytest.raises(CacheError, match="rows 0 to 7"):
        cache.reader("s0").read("logits", np.array([-1]))
    with pytest.raises(CacheError, match="no finished shard 's9'"):
        cache.reader("s9")


def test_a_shard_cut_short_is_an_error_when_it_is_read(filled: Filled) -> None:
    cache, _ = filled(40)
    file = next((cache.root / cache.receipts["s0"].folder / "logits" / "values").glob("c/0/0"))
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DamagedCacheError, match="bytes where"):
        open_cache(cache.root).read(np.array([0]))


def test_arrays_are_read_without_torch(filled: Filled) -> None:
    cache, _ = filled(4)
    code = (
        "import sys, teachercache, numpy; c = teachercache.open_cache(sys.argv[1]);"
        "b = c.take(['s0/0001'], view=0); assert b.signals['logits'].shape == (1, 10);"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(cache.root)], check=True)


def files_of(cache: Cache, shard: str) -> list[Path]:
    return [cache.root / name for name in sorted(cache.receipts[shard].files)]


def read_everything(cache: Cache) -> None:
    cache.read(np.arange(cache.rows))


@pytest.mark.parametrize("kind", ["values", "zarr.json", "arrow"])
def test_any_changed_file_is_an_error_when_reading_checks(filled: Filled, kind: str) -> None:
    cache, _ = filled(20, 3)
    read_everything(open_cache(cache.root, check=True))
    named = {"values": "0", "zarr.json": "zarr.json", "arrow": cache.receipts["s1"].folder.split("/")[1] + ".arrow"}
    files = [path for path in files_of(cache, "s1") if path.name == named[kind]]
    # zarr.json of groups tells nothing that is read
    files = [path for path in files if kind != "zarr.json" or (path.parent / "c").exists()]
    assert len(files) == {"values": 7, "zarr.json": 7, "arrow": 1}[kind]
    for path in files:
        data = bytearray(path.read_bytes())
        data[len(data) // 3] ^= 1
        original = path.read_bytes()
        path.write_bytes(data)
        with pytest.raises(DamagedCacheError, match=f"{path.name} was changed after it was written"):
            read_everything(open_cache(cache.root, check=True))
        path.write_bytes(original)
    read_everything(open_cache(cache.root, check=True))


def test_a_checking_cache_checks_in_another_process_too(filled: Filled) -> None:
    cache, _ = filled(20)
    again = pickle.loads(pickle.dumps(open_cache(cache.root, check=True)))
    path = next(path for path in files_of(cache, "s0") if path.name == "0" and "logits" in path.parts)
    data = bytearray(path.read_bytes())
    data[5] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedCacheError, match="was changed after it was written"):
        read_everything(again)


def test_a_compressed_cache_says_the_same(filled: Filled, shard_writer: Callable[..., Any], tmp_path: Path) -> None:
    plain, _ = filled(40, 3)
    packed = {name: replace(schema, compression="zstd") for name, schema in plain.manifest.signals.items()}
    other = create_cache(tmp_path / "packed", replace(plain.manifest, signals=packed))
    for number, (shard, samples) in enumerate({"s0": 40, "s1": 3}.items()):
        shard_writer(other, shard, samples, number)
    again = open_cache(other.root)
    rows = np.random.default_rng(0).permutation(plain.rows)
    for name in plain.signals:
        for part, values in plain.encoded(name, rows).items():
            np.testing.assert_array_equal(again.encoded(name, rows)[part], values)
