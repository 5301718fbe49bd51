"""docs/cache-format.md against the cache itself: its reader reads what ours reads, its tables name what is on disk."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from teachercache.cache import (
    HeadLogits,
    Manifest,
    RowIndex,
    SampledTargets,
    SignalSchema,
    SparseLogits,
    TokenLogits,
    create_cache,
    open_cache,
)
from teachercache.cache.codecs import CODECS, Packing, QueryKey, Ragged

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "goldens" / "cache-v1"
PAGE = (ROOT / "docs" / "cache-format.md").read_text(encoding="utf-8")

ReadCache = Callable[[Path], Iterator[tuple[str, Any, dict[str, Any]]]]


@pytest.fixture(scope="module")
def documented() -> dict[str, Any]:
    """What the page's one example in Python defines, after it has run in the root of the repository."""
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        exec(compile(code, "docs/cache-format.md", "exec"), names)
    return names


def table(heading: str, first: str) -> list[list[str]]:
    """Cells of the table below a heading whose first column is called `first`."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = section[section.index(f"| {first} |") :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def assert_equal_to_ours(root: Path, read_cache: ReadCache) -> None:
    """Every row, label, parameter and decoded value is the same through both readers."""
    cache, shards = open_cache(root), []
    for shard, index, signals in read_cache(root):
        reader, rows = cache.reader(shard), np.arange(len(cache.reader(shard)))
        columns = index.to_pydict()
        assert columns["id"] == reader.index.ids.tolist()
        assert columns["view"] == reader.index.views.tolist()
        assert [-1 if label is None else label for label in columns["label"]] == reader.index.labels.tolist()
        assert [value for row in columns["parameters"] for value in row] == reader.parameters.ravel().tolist()
        assert set(signals) == set(cache.signals)
        for name, values in signals.items():
            ours = cache.codec(name).decode(reader.read(name, rows), cache.manifest.signals[name].shape)
            assert_same_values(values, ours)
        shards.append(shard)
    assert tuple(shards) == cache.shards


def assert_same_values(values: Any, ours: Any) -> None:
    if isinstance(ours, SparseLogits):
        ids, kept, tails = values
        np.testing.assert_array_equal(ids, ours.ids)
        np.testing.assert_array_equal(kept, ours.values)
        assert {t: tail.tolist() for t, tail in tails.items()} == {t: x.tolist() for t, x in ours.tails.items()}
    elif isinstance(ours, SampledTargets):
        ids, weights = values
        np.testing.assert_array_equal(ids, ours.ids)
        assert list(weights) == list(ours.weights)
        for temperature, expected in ours.weights.items():
            np.testing.assert_allclose(weights[temperature], expected, rtol=1e-4, atol=1e-6)
    elif isinstance(ours, HeadLogits):
        logits = ours.logits()
        logits = logits.values if isinstance(logits, Ragged) else logits
        np.testing.assert_allclose(values, logits, rtol=1e-4, atol=1e-4)
    elif isinstance(ours, TokenLogits):
        assert_same_values(values, ours.targets)
    elif isinstance(ours, Ragged):
        np.testing.assert_allclose(values, ours.values, atol=1e-6)
    else:
        np.testing.assert_allclose(values, ours, atol=1e-6, rtol=1e-6)


def test_the_documented_reader_reads_the_golden_cache_as_ours_does(documented: dict[str, Any]) -> None:
    assert_equal_to_ours(GOLDEN, documented["read_cache"])


def test_the_documented_reader_reads_empty_long_and_missing_shards(documented: dict[str, Any], tmp_path: Path) -> None:
    """No rows, several blocks with padding, no view parameters, one number a row, 32-bit ids, a shard not built yet."""
    signals = {
        "top": SignalSchema("top", "topk", {"k": 70_000, "temperatures": [0.5]}, (70_000,)),
        "score": SignalSchema("score", "f32", {}, ()),
        "hidden": SignalSchema("hidden", "int8", {}, (2, 3)),
        "packed": SignalSchema("packed", "f16", {}, (5,), compression="zstd"),
    }
    manifest = Manifest({"signals": {}}, signals, ("empty", "missing", "long"), 1, 4)
    cache = create_cache(tmp_path / "cache", manifest)
    for shard, rows in (("empty", 0), ("long", 9)):
        writer = cache.writer(shard)
        random = np.random.default_rng(rows)
        writer.append({n: cache.codec(n).encode(random.normal(size=(rows, *s.shape))) for n, s in signals.items()})
        ids = np.array([f"{shard}/ä{i}" for i in range(rows)], np.str_)
        numbers, labels = np.zeros(rows, np.uint16), np.arange(rows)
        writer.seal(RowIndex(ids, numbers, labels, np.zeros((rows, 0))), cost={"seconds": 1e-05, "big": 1e16})
    assert_equal_to_ours(tmp_path / "cache", documented["read_cache"])


def _text(rows: int, seed: int, shape: tuple[int, ...]) -> Ragged:
    """Random rows of 0 to 5 tokens; there are numbers in the padding too, which must not come back."""
    values = np.random.default_rng(seed).random((rows, *shape)).astype(np.float32)
    return Ragged(values, np.arange(rows) % 6)


def test_the_documented_reader_reads_rows_of_different_lengths_and_every_codec_of_vectors(
    documented: dict[str, Any], tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    mean, basis = np.ones(6, np.float32), np.linalg.qr(random.normal(size=(6, 6)))[0][:, :2].astype(np.float32)
    heads = {"width": 4, "key_heads": 1, "causal": False}
    kept = {"mean": "p.mean", "basis": "p.basis"}
    packings = {"tokens": Packing((0,)), "maps": Packing((1, 2)), "causal": Packing((0, 1), causal=True)}
    signals = [
        SignalSchema("bf16", "bf16", {}, (6,)),
        SignalSchema("affine", "u8affine", {"scale": "f16"}, (2, 6)),
        SignalSchema("pca", "pca", {"dimensions": 2, "keep": "int8"}, (6,), constants=kept),
        SignalSchema("factored", "factored", {**heads, "keep": "f16", "causal": True}, (2, 5, 5)),
        SignalSchema("factored.ragged", "factored", {"keep": "int8", **heads}, (2, 5, 5), packing=Packing((1,))),
        SignalSchema("tokens", "int8", {}, (5, 6), packing=packings["tokens"]),
        SignalSchema("tokens.pca", "pca", {"dimensions": 2}, (5, 6), packing=packings["tokens"], constants=kept),
        SignalSchema("maps", "u8sqrt", {}, (2, 5, 5), packing=packings["maps"]),
        SignalSchema("causal", "f16", {}, (5, 5), packing=packings["causal"]),
        SignalSchema("implied", "f16", {}, (2, 5, 5), packing=Packing((1, 2), causal=True, implied=True)),
    ]
    manifest = Manifest({"signals": {}}, {s.name: s for s in signals}, ("empty", "long"), 1, 4)
    cache = create_cache(tmp_path / "cache", manifest, {"p.mean": mean, "p.basis": basis})
    for shard, rows in (("empty", 0), ("long", 9)):
        writer = cache.writer(shard)
        values: dict[str, Any] = {}
        for number, s in enumerate(signals):
            if s.codec == "factored":
                query, key = (random.normal(size=(rows, h, 5, 4)).astype(np.float32) for h in (2, 1))
                lengths = None if s.packing is None else np.arange(rows) % 5 + 1
                values[s.name] = QueryKey(query, key, lengths, bool(s.parameters.get("causal")))
            elif s.packing is not None:
                values[s.name] = _text(rows, number, s.shape)
            else:
                values[s.name] = random.normal(size=(rows, *s.shape))
        writer.append({name: cache.codec(name).encode(each) for name, each in values.items()})
        ids = np.array([f"{shard}/{i}" for i in range(rows)], np.str_)
        writer.seal(RowIndex(ids, np.zeros(rows, np.uint16), np.arange(rows), np.zeros((rows, 0))))
    assert_equal_to_ours(tmp_path / "cache", documented["read_cache"])


def test_the_documented_reader_reads_every_codec_of_logits(documented: dict[str, Any], tmp_path: Path) -> None:
    """Flat, usual and confident rows, ids of each width, as many classes as are kept; and a head that is kept once."""
    random = np.random.default_rng(1)
    head = {"head.weight": random.normal(size=(7, 6)), "head.bias": random.normal(size=7).astype(np.float16)}
    names, tokens = {"weight": "head.weight", "bias": "head.bias"}, Packing((0,))
    signals = [
        SignalSchema("pps", "pps", {"k": 6, "temperatures": [1.0, 2.0, 4.0]}, (50,)),
        SignalSchema("pps.wide", "pps", {"k": 3, "temperatures": [1.0]}, (70_000,)),
        SignalSchema("pps.hot", "pps", {"k": 6, "temperatures": [3.0, 1.5], "sample_temperature": 3.0}, (50,)),
        SignalSchema("pps.flat", "pps", {"k": 6, "temperatures": [2.0]}, (3000,)),
        SignalSchema("pps.all", "pps", {"k": 60, "temperatures": [1.0, 2.0]}, (50,)),
        SignalSchema("sampling", "sampling", {"draws": 9, "sample_temperature": 2.0}, (70_000,)),
        SignalSchema("top", "topk", {"k": 3, "temperatures": [1.0], "entropy": True}, (70_000,)),
        SignalSchema("head", "head", {"keep": "f16", "classes": 7}, (6,), constants=names),
        SignalSchema("head.small", "head", {"keep": "int8", "classes": 7}, (2, 6), constants=names),
        SignalSchema("head.tokens", "head", {"keep": "f16", "classes": 7}, (4, 6), packing=tokens, constants=names),
        SignalSchema("top.tokens", "topk", {"k": 3, "temperatures": [1.0]}, (4, 50), packing=tokens),
    ]
    manifest = Manifest({"signals": {}}, {s.name: s for s in signals}, ("empty", "long"), 1, 4)
    cache = create_cache(tmp_path / "cache", manifest, head)
    for shard, rows in (("empty", 0), ("long", 30)):
        writer = cache.writer(shard)
        scale = 0.001 if shard == "empty" else np.linspace(0.01, 9, rows)
        values: dict[str, Any] = {}
        for s in signals:
            drawn = random.normal(size=(rows, *s.shape)) * np.reshape(scale, (-1, *[1] * len(s.shape)))
            if s.name == "pps.flat":
                drawn = 1e-3 * drawn
            kept = drawn if s.packing is None else Ragged(drawn, np.arange(rows) % 5)
            values[s.name] = HeadLogits(kept, None, None) if s.codec == "head" else kept
        writer.append({name: cache.codec(name).encode(each) for name, each in values.items()})
        ids = np.array([f"{shard}/{i}" for i in range(rows)], np.str_)
        writer.seal(RowIndex(ids, np.zeros(rows, np.uint16), np.arange(rows), np.zeros((rows, 0))))
    first = cache.encoded("pps", np.arange(30))["values"][:, 0]
    flat = cache.encoded("pps.flat", np.arange(30))["values"][:, 0]
    assert np.all(first == 0) and np.all((0 < flat) & (flat < 128))  # what is implied, and what is not
    assert_equal_to_ours(tmp_path / "cache", documented["read_cache"])


def test_the_documented_reader_refuses_a_changed_document(documented: dict[str, Any], tmp_path: Path) -> None:
    content = json.loads((GOLDEN / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**content, "views": 1}))
    with pytest.raises(ValueError, match="damaged"):
        list(documented["read_cache"](tmp_path))


@pytest.mark.parametrize(
    ("heading", "first", "document"),
    [
        ("manifest.json", "field", lambda: json.loads((GOLDEN / "manifest.json").read_text())),
        ("Receipts", "field", lambda: json.loads((GOLDEN / "receipts" / "train-0.json").read_text())),
    ],
    ids=["manifest", "receipt"],
)
def test_the_tables_name_every_field_of_a_document(heading: str, first: str, document: Callable[[], Any]) -> None:
    assert [row[0].strip("`") for row in table(heading, first)] == list(document())


def test_the_table_of_a_signal_names_every_field() -> None:
    section = PAGE.split("An entry of `signals`:")[1].split("\n\nThe fingerprint")[0]
    written = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    optional: dict[str, Any] = {"packing": Packing((0,)), "compression": "zstd", "constants": {"weight": "head"}}
    assert written == list(SignalSchema("all", "f16", {}, (5,), **optional).to_json())
    always = json.loads((GOLDEN / "manifest.json").read_text())["signals"][0]
    assert [field for field in written if field not in optional] == list(always)


FORMS: dict[str, list[tuple[dict[str, Any], tuple[int, ...]]]] = {
    "topk": [({"k": 2}, (3,)), ({"k": 2}, (100_000,)), ({"k": 2}, (1 << 25,))],
    "pps": [({"k": 2}, (3,)), ({"k": 2}, (100_000,)), ({"k": 2}, (1 << 25,))],
    "sampling": [({"draws": 2}, (3,)), ({"draws": 2}, (100_000,)), ({"draws": 2}, (1 << 25,))],
    "head": [({"keep": keep}, (3,)) for keep in ("f16", "int8")],
    "u8affine": [({"scale": scale}, (3, 4)) for scale in ("f32", "f16")],
    "factored": [({"keep": keep, "width": 4, "key_heads": 1}, (2, 5, 5)) for keep in ("f16", "int8")],
    "pca": [({"dimensions": 2, "keep": keep}, (3, 4)) for keep in ("f16", "int8")],
}


def test_the_table_of_codecs_names_every_codec_and_its_parts() -> None:
    rows = {row[0].strip("`"): row[1] for row in table("Codecs", "codec")}
    assert set(rows) == set(CODECS)
    for name, text in rows.items():
        for parameters, shape in FORMS.get(name, [({}, (3, 4))]):
            for part in CODECS[name](**parameters).parts(shape):
                assert f"`{part.name}`" in text and part.dtype in text, (name, part)


def test_the_table_of_an_array_is_what_stands_in_its_zarr_json() -> None:
    written = {name for row in table("Arrays", "field") for name in re.findall(r"`(\w+)`", row[0])}
    found = json.loads((next(GOLDEN.glob("shards/train-1.*")) / "top" / "tails" / "zarr.json").read_text())
    sharding = found["codecs"][0]["configuration"]
    assert written == set(found) | set(sharding)


def test_the_row_index_has_the_documented_columns() -> None:
    import pyarrow as pa

    schema = pa.ipc.open_file(next(GOLDEN.glob("rows/train-0.*.arrow"))).schema
    assert [row[0].strip("`") for row in table("The row index", "column")] == schema.names
    assert [str(field.type) for field in schema] == ["string", "uint16", "int64", "fixed_size_list<item: double>[1]"]
