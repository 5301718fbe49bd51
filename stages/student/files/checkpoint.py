"""Checkpoints: tensors in one safetensors file, numbers in JSON, published by renaming a folder. Nothing is pickled.

A folder that was not renamed, or whose bytes are not those that were written, does not count; the one before it does.
"""

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import xxhash
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ....cache.storage.durable import sync_path
from .durable_files import write_errors, write_synced

_TENSORS, _NUMBERS = "state.safetensors", "state.json"
_FORMAT = 2  # 1 had no phases; a trial that stopped with such a checkpoint begins anew
_NAME = re.compile(r"step-(\d+)")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a trial after `step` steps: tensors on the CPU, and what fits into JSON."""

    step: int
    tensors: Mapping[str, Tensor]
    numbers: Mapping[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint, keep: int = 2) -> None:
    """Write `<folder>/step-<n>`, remove all but the newest `keep`. Raises StageFailed if the disk does not take it."""
    final = folder / f"step-{checkpoint.step:06d}"
    temporary = folder / f".{final.name}.{uuid4().hex[:12]}.tmp"
    data = tensor_bytes(checkpoint.tensors)
    numbers = {"format": _FORMAT, "step": checkpoint.step, "xxh3": _digest(data), "numbers": dict(checkpoint.numbers)}
    with write_errors(final):
        for last in (False, False, False, False, True):
            try:
                temporary.mkdir(parents=True)
                write_synced(temporary / _TENSORS, data)
                write_synced(temporary / _NUMBERS, json.dumps(numbers, indent=1).encode())
                sync_path(temporary)
                _publish(temporary, final)
                sync_path(folder)
                break
            except OSError as error:  # another run of this trial has tidied up, or published the same step
                if last or error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
                    raise
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    for old in list(_folders(folder))[keep:]:
        shutil.rmtree(old, ignore_errors=True)


def _publish(temporary: Path, final: Path) -> None:
    """Rename into place. A whole checkpoint of this step that is there already is another run's, and as good."""
    if final.exists():
        if _read(final) is not None:
            return
        shutil.rmtree(final)
    os.rename(temporary, final)


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest whole checkpoint in `folder`; None when there is none. Rubbish of a killed writer is removed."""
    for rubbish in folder.glob(".step-*.tmp"):
        shutil.rmtree(rubbish, ignore_errors=True)
    return next((found for found in map(_read, _folders(folder)) if found is not None), None)


def tensor_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """The bytes of a safetensors file. Tensors that share memory are written one by one."""
    return save({name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()})


def _folders(folder: Path) -> Iterator[Path]:
    """Published checkpoints, newest first."""
    found = [(int(match[1]), path) for path in folder.glob("step-*") if (match := _NAME.fullmatch(path.name))]
    return (path for _, path in sorted(found, reverse=True))


def _read(path: Path) -> Checkpoint | None:
    """A checkpoint, or None when its bytes are not the ones that were written."""
    try:
        data, content = (path / _TENSORS).read_bytes(), json.loads((path / _NUMBERS).read_bytes())
        if content["format"] != _FORMAT or content["xxh3"] != _digest(data):
            return None
        return Checkpoint(int(content["step"]), load(data), content["numbers"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        return None


def _digest(data: bytes) -> str:
    return xxhash.xxh3_128_hexdigest(data)
