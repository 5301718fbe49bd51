"""The same rows in formats made for training: Lance, LitData, MosaicML's MDS, webdataset. What is not installed is left
out with a word. LitData and MDS pin other versions of torch and transformers, and are in no extra."""

import io
import tarfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from reading_clients import installed
from reading_workloads import Reader, Rows, Workload


def peers(scratch: Path, workload: Workload) -> Iterator[tuple[str, Reader]]:
    """(Name, reader) of each that is installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs
        with installed("pylance"):
            yield "Lance, take", _lance(scratch, workload)
        with installed("litdata"):
            yield "LitData, row by row", _litdata(scratch / "litdata", workload)
        with installed("mosaicml-streaming"):
            yield "MDS, row by row", _mds(scratch / "mds", workload)


def _stacked(items: list[dict[str, np.ndarray]]) -> Rows:
    return {name: np.stack([item[name] for item in items]) for name in items[0]}


def _lance(scratch: Path, workload: Workload) -> Reader:
    import lance

    widths = {name: x.shape[1] for name, x in workload.values.items()}
    columns = {
        n: pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), x.shape[1]) for n, x in workload.values.items()
    }
    data = lance.write_dataset(pa.table(columns), str(scratch / "rows.lance"))

    def read(rows: np.ndarray) -> Rows:
        table = data.take(rows.tolist())
        return {n: table[n].combine_chunks().flatten().to_numpy().reshape(-1, width) for n, width in widths.items()}

    return read


def _litdata(folder: Path, workload: Workload) -> Reader:
    from litdata import StreamingDataset
    from litdata.streaming.writer import BinaryWriter

    folder.mkdir()
    writer = BinaryWriter(str(folder), chunk_bytes="16MB")
    for row in range(workload.cache.rows):
        writer[row] = {name: x[row] for name, x in workload.values.items()}
    writer.done()
    writer.merge()
    data = StreamingDataset(str(folder), shuffle=False)
    return lambda rows: _stacked([{k: np.asarray(v) for k, v in data[row].items()} for row in rows.tolist()])


def _mds(folder: Path, workload: Workload) -> Reader:
    from streaming import MDSWriter
    from streaming.base.local import LocalDataset

    columns = {name: f"ndarray:{x.dtype}:{','.join(map(str, x.shape[1:]))}" for name, x in workload.values.items()}
    with MDSWriter(out=str(folder), columns=columns, size_limit=1 << 24) as writer:
        for row in range(workload.cache.rows):
            writer.write({name: x[row] for name, x in workload.values.items()})
    data = LocalDataset(str(folder))
    return lambda rows: _stacked([data[row] for row in rows.tolist()])


def webdataset_stream(scratch: Path, workload: Workload) -> Iterator[object]:
    """Batches in the order of the file, without end and without a shuffle: the most that webdataset can do."""
    import webdataset

    with tarfile.open(scratch / "rows.tar", "w") as tar:
        for row in range(min(workload.cache.rows, 2000)):
            for name, x in workload.values.items():
                _add(tar, f"{row:07d}.{name.split('/')[0]}.npy", x[row])
    stream = webdataset.WebDataset(str(scratch / "rows.tar"), shardshuffle=False).decode().batched(workload.batch)
    return iter(stream.repeat())


def _add(tar: tarfile.TarFile, name: str, array: np.ndarray) -> None:
    data = io.BytesIO()
    np.save(data, array)
    info = tarfile.TarInfo(name)
    info.size = data.tell()
    data.seek(0)
    tar.addfile(info, data)
