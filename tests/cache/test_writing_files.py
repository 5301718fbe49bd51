"""What is written fast is what was given: bytes, hash and size, however it came in; ids, whatever letters they have."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from teachercache.cache import CacheWriteError
from teachercache.cache.codecs import Part
from teachercache.cache.format.row_index import RowIndex, encode_rows, read_rows, text_column
from teachercache.cache.writing import hashed_file
from teachercache.cache.writing.array_writer import ArrayWriter
from teachercache.cache.writing.hashed_file import HashedFile

SIZES = st.lists(st.one_of(st.integers(0, 3000), st.integers(100_000, 700_000)), max_size=12)


@settings(max_examples=40, deadline=None)
@given(sizes=SIZES, seed=st.integers(0, 99), large=st.sampled_from([1, 50_000, 1 << 22]))
def test_a_file_holds_what_it_was_given_in_pieces_of_any_size(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], seed: int, large: int
) -> None:
    data = np.random.default_rng(seed).integers(0, 256, sum(sizes), np.uint8)
    buffer, start = np.empty(max(sizes, default=0), np.uint8), 0
    path = tmp_path_factory.mktemp("f") / "below" / "file"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashed_file, "_AHEAD", large)  # small files are reserved and sent ahead too
        file = HashedFile(path)
        for size in sizes:
            buffer[:size] = data[start : start + size]
            file.write(buffer[:size])
            buffer[:size] = 0  # the caller uses its buffer again
            start += size
        record = file.finish()
    assert path.read_bytes() == data.tobytes()
    assert record == {"bytes": len(data), "xxh3": xxhash.xxh3_128_hexdigest(data)}
    assert path.stat().st_blocks * 512 <= len(data) + (1 << 16)  # what was reserved is given back


def test_a_disk_that_reserves_nothing_is_written_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(hashed_file, "reserve", lambda *place: bool(asked.append(place[1])))
    monkeypatch.setattr(hashed_file, "_AHEAD", 1 << 19)
    file = HashedFile(tmp_path / "below" / "file")
    data = np.arange(1 << 21, dtype=np.uint32).view(np.uint8)
    file.write(data)
    assert file.finish()["bytes"] == data.nbytes
    assert (tmp_path / "below" / "file").read_bytes() == data.tobytes()
    assert len(asked) == 1, "a disk that refused once is not asked again"


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    HashedFile(tmp_path / "below" / "file").close()
    with pytest.raises(CacheWriteError):
        HashedFile(tmp_path / "below" / "file")


@settings(max_examples=25, deadline=None)
@given(
    batches=st.lists(st.integers(0, 700), max_size=6),
    width=st.sampled_from([0, 1, 37]),
    block=st.sampled_from([1, 7, 256]),
    seed=st.integers(0, 9),
)
def test_compressed_chunks_do_not_depend_on_how_the_rows_came(
    tmp_path_factory: pytest.TempPathFactory, batches: list[int], width: int, block: int, seed: int
) -> None:
    part = Part("values", "float16", (width,) if width else ())
    values = np.random.default_rng(seed).standard_normal((sum(batches), *part.shape)).astype(np.float16)
    folder = tmp_path_factory.mktemp("a")
    whole, pieces = ArrayWriter(folder / "whole", part, block, "zstd"), ArrayWriter(folder / "p", part, block, "zstd")
    whole.append(values)
    for end, size in zip(np.cumsum(batches).tolist(), batches, strict=True):
        batch = values[end - size : end].copy()
        pieces.append(batch)
        batch[...] = 0
    assert whole.seal() == pieces.seal()


@settings(max_examples=150, deadline=None)
@given(texts=st.lists(st.text(st.characters(codec="utf-8"), max_size=9), max_size=12), long=st.booleans())
def test_a_column_of_texts_is_the_one_that_arrow_makes(texts: list[str], long: bool) -> None:
    texts = [text.rstrip("\0") for text in texts]  # numpy keeps no trailing zeros
    array = np.array(texts, dtype="<U20" if long else None) if texts else np.zeros(0, "<U3")
    column = text_column(array)
    column.validate(full=True)
    assert column.type == pa.string() and column.to_pylist() == texts


@settings(max_examples=50, deadline=None)
@given(texts=st.lists(st.text("abc/0\0", max_size=9), max_size=12), step=st.sampled_from([1, 2, -1]))
def test_a_column_of_plain_ids_is_the_one_that_arrow_makes(texts: list[str], step: int) -> None:
    array = np.array([text.rstrip("\0") for text in texts], dtype=np.str_)[::step]
    assert text_column(array).equals(pa.array(array.tolist(), pa.string()))


@pytest.mark.parametrize("width", [0, 1, 3])
@pytest.mark.parametrize("rows", [0, 5])
def test_a_row_index_reads_back(tmp_path: Path, width: int, rows: int) -> None:
    ids = np.array([f"s/{'x' * (row % 3)}{row}" for row in range(rows)], dtype=np.str_)
    values = np.arange(rows * width, dtype=np.float64).reshape(rows, width)
    (tmp_path / "i").write_bytes(encode_rows(RowIndex(ids, np.zeros(rows, np.uint16), np.arange(rows) - 1, values)))
    found = read_rows(tmp_path / "i", width, rows)
    np.testing.assert_array_equal(found.ids, ids)
    np.testing.assert_array_equal(found.labels, np.arange(rows) - 1)
    np.testing.assert_array_equal(found.parameters, values)
