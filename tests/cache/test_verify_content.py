"""verify finds what hashes cannot: shards that were wrong when they were written, though every byte is as written."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xxhash

from teachercache.cache import Cache, RowIndex, SignalSchema, create_cache, open_cache
from teachercache.cache.codecs import Packing
from teachercache.cache.format.document import seal_document
from teachercache.cache.format.receipt import receipt_name
from teachercache.cache.format.receipt_table import TABLE_FILE, encode_table, table_of
from teachercache.cache.keeping.repair import repair_members
from teachercache.cache.keeping.verify import verify_cache, verify_members
from teachercache.cache.opening import note_receipts, open_members

Parts = dict[str, dict[str, np.ndarray]]
ROWS = 8
SIGNALS = {
    "logits": SignalSchema("logits", "f16", {}, (5,)),
    "top": SignalSchema("top", "topk", {"k": 3, "temperatures": [1.0, 2.0]}, (5,)),
    "sampled": SignalSchema("sampled", "pps", {"k": 3, "temperatures": [1.0]}, (5,)),
    "attention.1": SignalSchema("attention.1", "u8sqrt", {}, (2, 4, 4), "attention.1"),
    "embedding": SignalSchema("embedding", "int8", {}, (6,)),
    "text": SignalSchema("text", "f16", {}, (5, 2), packing=Packing((0,))),
}


@pytest.fixture
def write(tmp_path: Path, manifest: Callable[..., Any]) -> Callable[..., Cache]:
    """Write shards s0 and s1 of 8 rows (4 samples x 2 views); `change` spoils s1, `index` its row index."""

    def make(change: Callable[[Parts], None] = lambda parts: None, **index: Any) -> Cache:
        made = create_cache(tmp_path / "cache", manifest(("s0", "s1"), signals=SIGNALS, classes=tuple("abcde")))
        rng = np.random.default_rng(0)
        for shard in ("s0", "s1"):
            values: dict[str, Any] = {name: rng.normal(size=(ROWS, 5)) for name in ("logits", "top", "sampled")}
            values |= {"attention.1": rng.dirichlet(np.ones(4), (ROWS, 2, 4)), "embedding": rng.normal(size=(ROWS, 6))}
            values["text"] = rng.normal(size=(ROWS, 5, 2))
            parts: Parts = {name: dict(made.codec(name).encode(x)) for name, x in values.items()}
            rows = RowIndex(
                np.repeat([f"{shard}-{i}" for i in range(4)], 2),
                np.tile(np.arange(2, dtype=np.uint16), 4),
                np.repeat(np.arange(4) - 1, 2),
                rng.normal(size=(ROWS, 2)),
            )
            if shard == "s1":
                change(parts)
                rows = replace(rows, **index)
            writer = made.writer(shard)
            writer.append(parts)
            writer.seal(rows)
        return open_cache(tmp_path / "cache")

    return make


def problems(cache: Cache) -> list[tuple[str, str]]:
    return [(damage.shard, damage.problem) for damage in verify_cache(open_cache(cache.root))]


def spoil(signal: str, part: str, row: int, value: Any) -> Callable[[Parts], None]:
    def change(parts: Parts) -> None:
        array = parts[signal][part].copy()
        array[row] = value
        parts[signal][part] = array

    return change


def test_what_is_right_is_left_in_peace(write: Callable[..., Cache]) -> None:
    assert problems(write()) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (spoil("logits", "values", 3, np.nan), "signal logits, row 3: a value is NaN or infinite"),
        (spoil("logits", "values", 5, -np.inf), "signal logits, row 5: a value is NaN or infinite"),
        (spoil("embedding", "scale", 2, np.inf), "signal embedding, row 2: a value is NaN"),
        (spoil("attention.1", "values", 6, 9), "signal attention.1, row 6: its probabilities do not sum to 1"),
        (spoil("top", "ids", 1, 5), "signal top, row 1: a class is none of 5"),
        (spoil("top", "ids", 4, 2), "signal top, row 4: a class is there twice"),
        (spoil("top", "values", 7, 1), "signal top, row 7: a value is not finite, or above the largest"),
        (spoil("top", "tails", 0, np.nan), "signal top, row 0: the tail at temperature 1.0 is NaN"),
        (spoil("sampled", "ids", 2, 77), "signal sampled, row 2: a class is none of 5"),
        (spoil("text", "values", 12, np.nan), "signal text, row 2: a value is NaN"),
    ],
)
def test_a_value_that_cannot_be_is_named(write: Callable[..., Cache], change: Any, said: str) -> None:
    (found,) = problems(write(change))
    assert found[0] == "s1" and said in found[1]


@pytest.mark.parametrize(
    ("index", "said"),
    [
        ({"ids": np.array(list("aabbccdd"))[::-1].repeat(1)[[0, 1, 2, 3, 4, 5, 0, 1]]}, "two samples have one id"),
        ({"ids": np.array(list("abcdefgh"))}, "do not share their id"),
        ({"views": np.array([0, 1, 0, 1, 1, 0, 0, 1], np.uint16)}, "views of a sample are not counted up"),
        ({"labels": np.array([0, 0, 1, 1, 2, 2, 5, 5])}, "label 5 is none of 5 classes"),
        ({"labels": np.array([0, 1, 1, 1, 2, 2, 3, 3])}, "do not share their id and label"),
        ({"parameters": np.full((8, 2), np.nan)}, "parameter that is not finite"),
        ({"ids": np.repeat([f"s0-{i}" for i in range(4)], 2)}, "sample 's0-0' is in shard s0 too"),
    ],
)
def test_a_row_index_that_cannot_be_is_named(write: Callable[..., Cache], index: dict[str, Any], said: str) -> None:
    (found,) = problems(write(**index))
    assert found[0] == "s1" and said in found[1]


def rewrite_receipt(cache: Cache, change: Callable[[dict[str, Any]], None]) -> None:
    path = cache.root / receipt_name("s1")
    content = json.loads(path.read_bytes())
    content.pop("checksum")
    change(content)
    path.write_bytes(seal_document(content))


def test_a_receipt_that_leaves_out_a_file_is_found(write: Callable[..., Cache]) -> None:
    cache = write()
    names = [name for name in cache.receipts["s1"].files if name.endswith("top/tails/zarr.json")]
    rewrite_receipt(cache, lambda content: content["files"].pop(names[0]))
    assert "does not name" in problems(cache)[0][1] and names[0] in problems(cache)[0][1]


def test_a_group_that_describes_another_signal_is_found(write: Callable[..., Cache]) -> None:
    cache = write()
    name = f"{cache.receipts['s1'].folder}/logits/zarr.json"
    data = (cache.root / name).read_bytes().replace(b'"f16"', b'"f32"')
    (cache.root / name).write_bytes(data)
    record = {"bytes": len(data), "xxh3": xxhash.xxh3_128_hexdigest(data)}
    rewrite_receipt(cache, lambda content: content["files"].update({name: record}))
    assert "describes something else than manifest and receipt" in problems(cache)[0][1]


def test_a_receipt_of_more_rows_than_the_arrays_hold_is_found(write: Callable[..., Cache]) -> None:
    cache = write()
    rewrite_receipt(cache, lambda content: content.update(rows=10))
    assert [shard for shard, _ in problems(cache)] == ["s1"]


def test_fast_compares_sizes_alone(write: Callable[..., Cache]) -> None:
    cache = write()
    file = cache.root / cache.receipts["s0"].folder / "logits/values/c/0/0"
    data = bytearray(file.read_bytes())
    data[0] ^= 1
    file.write_bytes(data)
    assert verify_members(cache.members, fast=True) == [] and len(problems(cache)) == 1
    file.write_bytes(data[:-1])
    assert [damage.shard for damage in verify_members(cache.members, fast=True)] == ["s0"]
    file.unlink()
    assert "is not there" in verify_members(cache.members, fast=True)[0].problem


def test_a_damaged_constant_is_found_and_left_for_the_user(tmp_path: Path, manifest: Callable[..., Any]) -> None:
    schema = SignalSchema(
        "vector", "pca", {"dimensions": 2, "keep": "f16"}, (3,), constants={"mean": "m", "basis": "b"}
    )
    constants = {"m": np.zeros(3, np.float32), "b": np.eye(3, dtype=np.float32)[:, :2]}
    made = create_cache(tmp_path / "cache", manifest((), signals={"vector": schema}), constants)
    assert problems(made) == []
    file = made.root / made.manifest.constants["b"].file
    file.write_bytes(file.read_bytes()[:-1])
    (damage,) = verify_members(open_members(made.root))
    assert damage.shard == "" and "constant b was changed" in str(damage)
    assert repair_members(open_members(made.root), [damage]).left == (damage,)


def test_a_table_of_receipts_that_would_be_believed_and_lies_is_found_and_removed(write: Callable[..., Cache]) -> None:
    cache = write()
    note_receipts(cache.root)
    table = cache.root / TABLE_FILE
    assert table.exists() and problems(cache) == []
    records = open_members(cache.root)[0].table.records()
    records[1]["folder"] = records[1]["folder"][:-1] + "x"
    table.write_bytes(encode_table(table_of(records)))
    members = open_members(cache.root)
    found = [damage for damage in verify_members(members) if not damage.shard]
    assert "receipts.arrow does not say what the receipt of shard s1 says" in str(found[0])
    assert repair_members(members, found, dry_run=True).left == () and table.exists()
    assert repair_members(members, found).left == () and not table.exists()
    assert problems(cache) == []
