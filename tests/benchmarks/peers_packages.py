"""Systems that keep what a model said, or samples for training: the packages themselves, each where it is installed.

Some pin other versions of torch, numpy or pandas than ours, and are in no extra; `pip install --no-deps --target DIR`
and PYTHONPATH are enough to measure most of them. MosaicML's needs a torchvision that fits torch.
"""

import importlib.util
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from peers_system import BATCH, Read, System, batches
from peers_torchcache import open_torchcache, write_torchcache
from reading_clients import installed

_HASHED = "a row is found by a hash of its input, here random images of 3 x 32 x 32"


def packages() -> Iterator[System]:
    """Each that is installed; the others are left out with a word."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs
        with installed("torchcache"):
            import torchcache  # noqa: F401

            yield System("torchcache", write_torchcache, open_torchcache, slow=True, note=_HASHED)
        with installed("clip-retrieval"):
            _clip_writer()
            note = "a writer; what it wrote is read here as a memory map of its .npy"
            yield System("clip-retrieval", _write_clip, _open_clip, reads=False, note=note)
        with installed("litdata"):
            import litdata  # noqa: F401

            yield System("LitData", _write_litdata, _open_litdata, slow=True)
        with installed("mosaicml-streaming"):
            import streaming  # noqa: F401

            yield System("MosaicML streaming", _write_mds, _open_mds, slow=True)
        with installed("webdataset"):
            import webdataset  # noqa: F401

            note = "a stream through a shuffle buffer of 2,000 rows; it knows no row by number"
            yield System("webdataset", _write_tar, _open_tar, slow=True, stream=True, note=note)
        with installed("pylance"):
            import lance  # noqa: F401

            yield System("Lance", _write_lance, _open_lance)
        with installed("datasets"):
            import datasets  # noqa: F401

            yield System("HF datasets", _write_hf, _open_hf)


def _clip_writer() -> Any:
    """The module of its writer alone: the package itself imports faiss and a web server."""
    found = importlib.util.find_spec("clip_retrieval")
    if found is None or not found.submodule_search_locations:
        raise ImportError("No module named 'clip_retrieval'")
    place = Path(found.submodule_search_locations[0], "clip_inference", "writer.py")
    spec = importlib.util.spec_from_file_location("clip_writer", place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _write_clip(folder: Path, values: np.ndarray) -> None:
    writer = _clip_writer().NumpyWriter(0, str(folder), False, True, False, 1)
    for start, rows in batches(values):
        names = [f"{row:07d}" for row in range(start, start + len(rows))]
        writer({"image_embs": rows.astype(np.float16), "image_filename": names})
    writer.flush()


def _open_clip(folder: Path) -> Read:
    table = np.load(next((folder / "img_emb").glob("*.npy")), mmap_mode="r")
    return lambda rows: table[rows]


def _write_litdata(folder: Path, values: np.ndarray) -> None:
    from litdata.streaming.writer import BinaryWriter

    writer = BinaryWriter(str(folder), chunk_bytes="16MB")
    for start, rows in batches(values.astype(np.float16)):
        for number, row in enumerate(rows, start):
            writer[number] = {"logits": row}
    writer.done()
    writer.merge()


def _open_litdata(folder: Path) -> Read:
    from litdata import StreamingDataset

    data = StreamingDataset(str(folder), shuffle=False)
    return lambda rows: np.stack([np.asarray(data[row]["logits"]) for row in rows.tolist()])


def _write_mds(folder: Path, values: np.ndarray) -> None:
    from streaming import MDSWriter

    columns = {"logits": f"ndarray:float16:{values.shape[1]}"}
    with MDSWriter(out=str(folder / "mds"), columns=columns, size_limit=1 << 24) as writer:
        for _, rows in batches(values.astype(np.float16)):
            for row in rows:
                writer.write({"logits": row})


def _open_mds(folder: Path) -> Read:
    from streaming.base.local import LocalDataset

    data = LocalDataset(str(folder / "mds"))
    return lambda rows: np.stack([data[row]["logits"] for row in rows.tolist()])


def _write_tar(folder: Path, values: np.ndarray) -> None:
    import webdataset

    with webdataset.TarWriter(str(folder / "rows.tar")) as writer:
        for start, rows in batches(values.astype(np.float16)):
            for number, row in enumerate(rows, start):
                writer.write({"__key__": f"{number:07d}", "logits.npy": row})


def _open_tar(folder: Path) -> Read:
    import webdataset

    stream = webdataset.WebDataset(str(folder / "rows.tar"), shardshuffle=False).shuffle(2000).decode()
    rows_of = iter(stream.to_tuple("__key__", "logits.npy").batched(BATCH, partial=False).repeat())

    def read(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        keys, found = next(rows_of)
        return np.array([int(key) for key in keys]), np.asarray(found)

    return read


def _lists(values: np.ndarray) -> pa.Table:
    flat = pa.array(np.ascontiguousarray(values, np.float16).reshape(-1))
    return pa.table({"logits": pa.FixedSizeListArray.from_arrays(flat, values.shape[1])})


def _numpy(table: pa.Table) -> np.ndarray:
    column = table["logits"].combine_chunks()
    return np.asarray(column.flatten().to_numpy().reshape(len(column), -1))


def _write_lance(folder: Path, values: np.ndarray) -> None:
    import lance

    made = (batch for _, rows in batches(values) for batch in _lists(rows).to_batches())
    schema = _lists(values[:1]).schema
    lance.write_dataset(pa.RecordBatchReader.from_batches(schema, made), str(folder / "rows.lance"))


def _open_lance(folder: Path) -> Read:
    import lance

    data = lance.dataset(str(folder / "rows.lance"))
    return lambda rows: _numpy(data.take(rows.tolist()))


def _write_hf(folder: Path, values: np.ndarray) -> None:
    import datasets

    table = pa.concat_tables([_lists(rows) for _, rows in batches(values)])
    data = datasets.Dataset(datasets.table.InMemoryTable(table))
    datasets.disable_progress_bars()
    data.save_to_disk(str(folder / "hf"))


def _open_hf(folder: Path) -> Read:
    import datasets

    data = datasets.load_from_disk(str(folder / "hf")).with_format("arrow")
    return lambda rows: _numpy(data[rows.tolist()])
