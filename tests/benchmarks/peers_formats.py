"""Logits in plain files: what somebody writes who uses no cache at all, each in the way its own library advises."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from peers_system import Read, System, batches
from reading_clients import installed


def plain_formats() -> Iterator[System]:
    """Each whose library is installed. All of them keep f16, but for the pickles."""
    yield System(MEMMAP, _write_memmap, _open_memmap, package=False)
    yield System("safetensors", _write_safetensors, _open_safetensors, package=False)
    yield System("zarr-python", _write_zarr, _open_zarr, slow=True, package=False)
    with installed("h5py"):
        import h5py  # noqa: F401

        yield System("h5py", _write_h5, _open_h5, slow=True, package=False)
    note = (
        "one torch.save file a sample, with outputs and hooked outputs, as torchdistill 0.3 kept them; 1.x has no cache"
    )
    yield System("pickles", _write_pickles, _open_pickles, slow=True, package=False, note=note)


MEMMAP = "numpy memmap"


def _write_memmap(folder: Path, values: np.ndarray) -> None:
    table = np.lib.format.open_memmap(folder / "rows.npy", "w+", np.float16, values.shape)
    for start, rows in batches(values):
        table[start : start + len(rows)] = rows
    table.flush()


def _open_memmap(folder: Path) -> Read:
    table = np.load(folder / "rows.npy", mmap_mode="r")
    return lambda rows: table[rows]


def _write_safetensors(folder: Path, values: np.ndarray) -> None:
    from safetensors.numpy import save_file

    save_file({"logits": values.astype(np.float16)}, folder / "rows.safetensors")


def _open_safetensors(folder: Path) -> Read:
    from safetensors import safe_open

    part = safe_open(str(folder / "rows.safetensors"), framework="numpy").__enter__().get_slice("logits")
    return lambda rows: np.concatenate([part[row : row + 1] for row in rows.tolist()])


def _write_zarr(folder: Path, values: np.ndarray) -> None:
    import zarr

    chunks = (256, values.shape[1])
    array = zarr.create_array(folder / "rows.zarr", shape=values.shape, chunks=chunks, dtype="f2", compressors=None)
    for start, rows in batches(values):
        array[start : start + len(rows)] = rows.astype(np.float16)


def _open_zarr(folder: Path) -> Read:
    import zarr

    array = zarr.open_array(folder / "rows.zarr", mode="r")
    return lambda rows: np.asarray(array.oindex[rows])


def _write_h5(folder: Path, values: np.ndarray) -> None:
    import h5py

    with h5py.File(folder / "rows.h5", "w") as file:
        table = file.create_dataset("logits", values.shape, np.float16)
        for start, rows in batches(values):
            table[start : start + len(rows)] = rows.astype(np.float16)


def _open_h5(folder: Path) -> Read:
    import h5py

    table = h5py.File(folder / "rows.h5", "r")["logits"]

    def read(rows: np.ndarray) -> np.ndarray:
        order = np.argsort(rows)  # it takes rows in rising order only
        found = np.empty((len(rows), table.shape[1]), np.float16)
        found[order] = table[rows[order]]
        return found

    return read


def _write_pickles(folder: Path, values: np.ndarray) -> None:
    import torch

    for start, rows in batches(values):
        for number, row in enumerate(rows, start):
            logits = torch.tensor(row)
            kept = {"teacher_outputs": logits, "extracted_outputs": {"fc": {"output": logits.clone()}}}
            torch.save(kept, folder / f"{number}.pt")


def _open_pickles(folder: Path) -> Read:
    import torch

    return lambda rows: np.stack([torch.load(folder / f"{row}.pt")["teacher_outputs"].numpy() for row in rows.tolist()])
