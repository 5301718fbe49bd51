"""export: other programs read the values that the cache decodes to, or the parts as they are kept."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

from teachercache.cache import Cache, CacheError, DamagedCacheError, RowIndex, SignalSchema, create_cache, open_cache
from teachercache.cache.codecs import Packing, Ragged
from teachercache.cache.export.export import export_cache

SIGNALS = {
    "logits": SignalSchema("logits", "f16", {}, (10,)),
    "loss": SignalSchema("loss", "f32", {}, ()),
    "top": SignalSchema("top", "topk", {"k": 3, "temperatures": [1.0, 2.0], "entropy": True}, (10,)),
    "sampled": SignalSchema("sampled", "pps", {"k": 4, "temperatures": [1.0, 2.0]}, (10,)),
    "attention.1": SignalSchema("attention.1", "u8sqrt", {}, (2, 4, 4)),
    "text": SignalSchema("text", "int8", {}, (5, 6), packing=Packing((0,))),
    "text.map": SignalSchema("text.map", "u8sqrt", {}, (2, 5, 5), packing=Packing((1, 2), causal=True)),
}


@pytest.fixture
def cache(tmp_path: Path, manifest: Callable[..., Any]) -> Cache:
    """Shards s0, s1, s2 of 9, 0 and 4 samples with dense, sparse and ragged signals; s3 is not built."""
    rng = np.random.default_rng(0)
    names = ("s0", "s1", "s2", "s3")
    made = create_cache(tmp_path / "cache", manifest(names, signals=SIGNALS, views=1, parameters=("0.crop.left",)))
    for shard, rows in (("s0", 9), ("s1", 0), ("s2", 4)):
        lengths = rng.integers(0, 6, rows)
        maps = np.tril(rng.random((rows, 2, 5, 5)))
        values: dict[str, Any] = {name: rng.normal(size=(rows, 10)) for name in ("logits", "top", "sampled")}
        values |= {"loss": rng.normal(size=rows), "attention.1": rng.random((rows, 2, 4, 4))}
        values |= {"text": Ragged(rng.normal(size=(rows, 5, 6)), lengths), "text.map": Ragged(maps, lengths)}
        writer = made.writer(shard)
        writer.append({name: made.codec(name).encode(x) for name, x in values.items()})
        ids, labels = np.array([f"{shard}/{i}" for i in range(rows)], np.str_), np.arange(rows) - 1
        writer.seal(RowIndex(ids, np.zeros(rows, np.uint16), labels, rng.normal(size=(rows, 1))))
    return open_cache(tmp_path / "cache")


def expected(cache: Cache, row: int) -> dict[str, Any]:
    """A row as other programs should see it."""
    signals = {name: value for name, value in cache.read(np.array([row])).signals.items()}
    length, top, sampled = int(signals["text"].lengths[0]), signals["top"], signals["sampled"]
    return {
        "logits": signals["logits"][0],
        "loss": signals["loss"][0],
        "attention.1": signals["attention.1"][0],
        "text": signals["text"].values[0, :length],
        "text.map": signals["text.map"].values[0, :, :length, :length],
        "top.ids": top.ids[0],
        "top.values": top.values[0],
        "top.tails.T1": top.tails[1.0][0],
        "top.tails.T2": top.tails[2.0][0],
        "top.entropy": top.entropy[0],
        "sampled.ids": sampled.ids[0],
        "sampled.weights.T2": sampled.weights[2.0][0],
    }


def check_row(found: dict[str, Any], cache: Cache, row: int) -> None:
    for name, value in expected(cache, row).items():
        array = np.array(found[name], np.asarray(value).dtype)
        np.testing.assert_array_equal(array.reshape(np.shape(value)), value, err_msg=name)


def test_parquet_holds_ids_labels_parameters_and_decoded_values(cache: Cache, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = export_cache(cache, out, "parquet")
    assert (done.made, done.missing) == (("s0", "s1", "s2"), ("s3",))
    tables = [pyarrow.parquet.read_table(out / f"{shard}.parquet") for shard in ("s0", "s1", "s2")]
    assert [table.num_rows for table in tables] == [9, 0, 4] and tables[0].schema.equals(tables[1].schema)
    rows = [row for table in tables for row in table.to_pylist()]
    batch = cache.read(np.arange(13))
    assert [row["id"] for row in rows] == list(batch.ids) and rows[0]["label"] is None and rows[1]["label"] == 0
    np.testing.assert_array_equal([row["parameters"] for row in rows][:9], cache.reader("s0").parameters)
    for number, row in enumerate(rows):
        check_row(row, cache, number)
    about = json.loads(tables[0].schema.metadata[b"teachercache"])
    assert about["parameters"] == ["0.crop.left"] and about["signals"][0]["name"] == "logits"


def test_encoded_columns_are_the_parts_as_they_are_kept(cache: Cache, tmp_path: Path) -> None:
    export_cache(cache, tmp_path / "out", "parquet", ["text", "attention.1"], decoded=False)
    table = pyarrow.parquet.read_table(tmp_path / "out/s0.parquet")
    parts = cache.encoded("text", np.arange(9))
    assert table["text.lengths"].to_pylist() == parts["lengths"].tolist()
    assert str(table["text.values"].type.value_type.value_type) == "int8"
    flat = [token for row in table["text.values"].to_pylist() for token in row]
    np.testing.assert_array_equal(np.array(flat).reshape(-1, 6), parts["values"])
    found = np.array(table["attention.1.values"].to_pylist(), np.uint8)
    np.testing.assert_array_equal(found, cache.encoded("attention.1", np.arange(9))["values"])
    assert "logits.values" not in table.column_names


def test_npy_files_load_without_pickle(cache: Cache, tmp_path: Path) -> None:
    export_cache(cache, tmp_path / "out", "npy", ["logits", "text", "top"])
    folder = tmp_path / "out" / "s2"
    signals = cache.read(np.arange(9, 13)).signals
    np.testing.assert_array_equal(np.load(folder / "logits.npy"), signals["logits"])
    np.testing.assert_array_equal(np.load(folder / "text.npy"), signals["text"].values)
    np.testing.assert_array_equal(np.load(folder / "text.token_counts.npy"), signals["text"].lengths)
    np.testing.assert_array_equal(np.load(folder / "top.ids.npy"), signals["top"].ids)
    assert list(np.load(folder / "id.npy")) == [f"s2/{i}" for i in range(4)]
    assert np.load(tmp_path / "out/s1/logits.npy").shape == (0, 10)


def test_hugging_face_datasets_load_the_folder(cache: Cache, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    export_cache(cache, tmp_path / "out", "hf")
    loaded = datasets.load_from_disk(str(tmp_path / "out"))
    assert len(loaded) == 13 and loaded[0]["label"] is None
    for row in range(13):
        check_row(loaded[row], cache, row)


def test_the_same_export_again_writes_only_what_is_missing(cache: Cache, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_cache(cache, out, "npy", ["logits"])
    (out / "s0").rename(out / ".s0.tmp")  # as a call leaves it that was killed
    done = export_cache(cache, out, "npy", ["logits"])
    assert (done.made, done.standing) == (("s0",), ("s1", "s2")) and not (out / ".s0.tmp").exists()
    for settings in ({"to": "parquet"}, {"to": "npy", "signals": ["top"]}, {"to": "npy", "decoded": False}):
        with pytest.raises(CacheError, match="holds an export with other settings"):
            export_cache(cache, out, **{"signals": ["logits"], **settings})
    with pytest.raises(CacheError, match="exported to parquet, npy, hf, not to 'csv'"):
        export_cache(cache, out, "csv")
    with pytest.raises(CacheError, match="no signal 'nope'"):
        export_cache(cache, out, "npy", ["nope"])


def test_damage_is_not_exported(cache: Cache, tmp_path: Path) -> None:
    file = cache.root / cache.receipts["s2"].folder / "logits/values/c/0/0"
    data = bytearray(file.read_bytes())
    data[3] ^= 1
    file.write_bytes(data)
    with pytest.raises(DamagedCacheError, match="s2.*was changed"):
        export_cache(cache, tmp_path / "out", "parquet")
    assert not (tmp_path / "out/s2.parquet").exists()
