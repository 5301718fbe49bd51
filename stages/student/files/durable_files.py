"""Files of a trial that are there whole or not at all, and what is said when the disk does not take them."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from ....cache.storage.durable import sync_path, write_problem
from ...errors import StageError, StageFailed


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn an OSError of a write under `path` into a StageFailed that says what to do."""
    try:
        yield
    except OSError as error:
        raise StageFailed(write_problem(error, path, "`output`")) from error


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file and wait until its bytes are on the disk."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON document, whole or not at all; an older one is replaced."""
    write_whole(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all; an older one is replaced."""
    temporary = path.with_name(f".{path.name}.{uuid4().hex[:12]}.tmp")
    with write_errors(path):
        try:
            write_synced(temporary, data)
            os.replace(temporary, path)
            sync_path(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any] | None:
    """The document at `path`, None when there is none. Raises StageError for one that cannot be read."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StageError(f"{path} cannot be read ({error}); delete {path.parent} to train that student anew") from error
    if not isinstance(content, dict):
        raise StageError(f"{path} is no JSON object; delete {path.parent} to train that student anew")
    return content
