"""Other Zarr clients read our arrays, plain, compressed and ragged: the layout is the standard's, not ours."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from signal_arrays import DTYPES, ArraySchema, write_slabs
from test_reading_equal import TEXT

from teachercache.cache.codecs import Part
from teachercache.cache.codecs.packing import LENGTHS

PARTS = tuple(Part(dtype, dtype, (3, 2)) for dtype in DTYPES)
EXPECTED_CHUNKS = {"none": 16, "zstd": 3}


def by_zarr_python(place: Path) -> np.ndarray:
    return np.asarray(zarr.open_array(str(place), mode="r")[:])


def by_zarrs(place: Path) -> np.ndarray:
    pytest.importorskip("zarrs", reason="zarrs is not installed; `pip install 'teachercache[bench]'`")
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        return np.asarray(zarr.open_array(str(place), mode="r")[:])


def by_tensorstore(place: Path) -> np.ndarray:
    reason = "tensorstore is not installed; `pip install 'teachercache[bench]'`"
    tensorstore: Any = pytest.importorskip("tensorstore", reason=reason)
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(place)}}
    return np.asarray(tensorstore.open(spec).result().read().result())


CLIENTS = [by_zarr_python, by_zarrs, by_tensorstore]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_every_dtype_is_read_by_other_clients(tmp_path: Path, client: Any, compression: str) -> None:
    _, written = write_slabs(tmp_path, ArraySchema(PARTS, compression=compression), 16, (70,), 0)
    for part in PARTS:
        np.testing.assert_array_equal(client(tmp_path / "0" / "signal" / part.name), written[0][part.name])


@pytest.mark.parametrize("client", CLIENTS)
def test_ragged_parts_are_flat_arrays_for_other_clients(tmp_path: Path, client: Any) -> None:
    _, written = write_slabs(tmp_path, TEXT, 16, (70,), 0)
    for name in (LENGTHS, "values", "scale"):
        np.testing.assert_array_equal(client(tmp_path / "0" / "signal" / name), written[0][name])


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_a_compressed_chunk_holds_no_more_than_half_a_mebibyte_of_large_rows(tmp_path: Path, compression: str) -> None:
    schema = ArraySchema((Part("values", "uint8", (150_000,)),), compression=compression)
    write_slabs(tmp_path, schema, 16, (20,), 0)
    array = zarr.open_array(str(tmp_path / "0" / "signal" / "values"), mode="r")
    assert array.chunks[0] == EXPECTED_CHUNKS[compression]
