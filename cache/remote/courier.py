"""A process that fetches for one that cannot: the libraries' threads do not live on in a forked child, and calls hang.

`python -m teachercache.cache.remote.courier ADDRESS` reads (method, arguments) from its input, pickled by its own
parent, and writes what the address's client answers. It ends when its input does, so it never outlives its parent for
long.
"""

import os
import pickle
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from .client import RemoteFile, client_of
from .errors import RemoteError


class Courier:
    """Files below an address, as a Client: every call is made by a process of its own, one after another."""

    def __init__(self, address: str) -> None:
        command = [sys.executable, "-m", "teachercache.cache.remote.courier", address]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._address = address
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, close_fds=True
        )
        self._lock = threading.Lock()
        weakref.finalize(self, _end, self._process)

    def get(self, key: str) -> bytes:
        return bytes(self._ask("get", key))

    def size(self, key: str) -> int:
        return int(self._ask("size", key))

    def download(self, key: str, path: Path, size: int) -> None:
        self._ask("download", key, path, size)

    def put(self, key: str, data: bytes) -> None:
        self._ask("put", key, data)

    def create(self, key: str, data: bytes) -> bool:
        return bool(self._ask("create", key, data))

    def upload(self, key: str, path: Path) -> None:
        self._ask("upload", key, path)

    def files(self, folder: str) -> Sequence[RemoteFile]:
        return list(self._ask("files", folder))

    def tree(self, folder: str) -> Iterator[RemoteFile]:
        yield from self._ask("tree", folder)

    def move(self, key: str, to: str) -> None:
        self._ask("move", key, to)

    def delete(self, keys: Iterable[str]) -> None:
        self._ask("delete", list(keys))

    def _ask(self, method: str, *arguments: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            with self._lock:
                pickle.dump((method, arguments), self._process.stdin)
                self._process.stdin.flush()
                answer = pickle.load(self._process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            raise RemoteError(f"{self._address}: the process that fetches for this one has ended ({error})") from error
        if isinstance(answer, Exception):
            raise answer
        return answer


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close the pipes, at which the process ends by itself, and wait for that."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    process.wait()


def serve(address: str, asked: BinaryIO, answers: BinaryIO) -> None:
    """Answer until the input ends."""
    while True:
        try:
            method, arguments = pickle.load(asked)
        except EOFError:
            return
        try:
            found = getattr(client_of(address), method)(*arguments)
            answer: Any = list(found) if method == "tree" else found
        except (RemoteError, OSError) as error:
            answer = type(error)(*error.args) if isinstance(error, RemoteError) else error
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    serve(sys.argv[1], sys.stdin.buffer, sys.stdout.buffer)
