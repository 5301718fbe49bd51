"""Object stores (S3 and what speaks like it, Google Cloud Storage, Azure) through obstore."""

import errno
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from .address import below, scheme_of
from .client import RemoteFile
from .errors import RemoteError, RemoteSizeError
from .settings import retry_seconds

_PIECE = 1 << 24  # bytes of a request: one connection is far slower than the network, and a piece is tried again alone
_AT_ONCE = 4  # pieces of one file under way, each in memory until it is written


class ObjectClient:
    """Objects below an address, as a Client. Credentials and endpoint come from the environment."""

    def __init__(self, address: str) -> None:
        self.address = address
        try:
            import obstore
        except ImportError as error:
            raise RemoteError(f"{address}: pip install 'teachercache[s3]' brings what reads object stores") from error
        self._library = obstore
        self._store = _open(address)

    def get(self, key: str) -> bytes:
        with self._errors(key, "read"):
            return bytes(self._library.get(self._store, key).bytes())

    def size(self, key: str) -> int:
        with self._errors(key, "read"):
            return int(self._library.head(self._store, key)["size"])

    def download(self, key: str, path: Path, size: int) -> None:
        with self._errors(key, "read"), path.open("r+b") as file:
            if size <= _PIECE:
                self._piece(key, file.fileno(), None, size)
                return
            starts = range(0, size, _PIECE)
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                list(pool.map(lambda start: self._piece(key, file.fileno(), start, size), starts))

    def _piece(self, key: str, file: int, start: int | None, size: int) -> None:
        """Bring the piece that begins at `start`, or the whole file."""
        options: Any = None if start is None else {"range": (start, min(start + _PIECE, size))}
        found = self._library.get(self._store, key, options=options)
        if int(found.meta["size"]) != size:
            raise RemoteSizeError(
                f"{below(self.address, key)} has {found.meta['size']} bytes where {size} are expected"
            )
        offset, data = start or 0, memoryview(found.bytes())
        while data:
            written = os.pwrite(file, data, offset)
            offset, data = offset + written, data[written:]

    def put(self, key: str, data: bytes) -> None:
        with self._errors(key, "written"):
            self._library.put(self._store, key, data)

    def create(self, key: str, data: bytes) -> bool:
        from obstore.exceptions import AlreadyExistsError, NotSupportedError, PreconditionError

        with self._errors(key, "written"):
            try:
                self._library.put(self._store, key, data, mode="create", use_multipart=False)
            except (AlreadyExistsError, PreconditionError):
                return False
            except NotSupportedError:
                self._library.put(self._store, key, data)
        return True

    def upload(self, key: str, path: Path) -> None:
        with self._errors(key, "written"):
            self._library.put(self._store, key, path, chunk_size=_PIECE, max_concurrency=_AT_ONCE)

    def files(self, folder: str) -> Sequence[RemoteFile]:
        with self._errors(folder, "listed"):
            found = self._library.list_with_delimiter(self._store, folder or None)["objects"]
        return sorted(map(_file, found), key=lambda file: file.key)

    def tree(self, folder: str) -> Iterator[RemoteFile]:
        with self._errors(folder, "listed"):
            for found in self._library.list(self._store, folder or None):
                yield from map(_file, found)

    def move(self, key: str, to: str) -> None:
        with self._errors(key, "moved"):
            self._library.rename(self._store, key, to, overwrite=True)

    def delete(self, keys: Iterable[str]) -> None:
        with self._errors("", "removed"):
            if names := list(keys):
                self._library.delete(self._store, names)

    @contextmanager
    def _errors(self, key: str, done: str) -> Iterator[None]:
        """Turn the library's errors into ours."""
        from obstore.exceptions import BaseError

        where = below(self.address, key)
        try:
            yield
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise RemoteError(f"{where} cannot be {done}: there is no such bucket") from None
            raise FileNotFoundError(errno.ENOENT, "there is no such object", where) from None
        except BaseError as error:
            raise RemoteError(f"{where} cannot be {done}: {_reason(error)}") from error


def _open(address: str) -> Any:
    """The library's store. Raises RemoteError for settings that it cannot mean."""
    from obstore.exceptions import BaseError
    from obstore.store import from_url

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    given: dict[str, Any] = {}
    if scheme_of(address) in ("s3", "s3a"):
        given |= {"endpoint": endpoint} if endpoint else {}
        given |= _profile()
    try:
        return from_url(
            address,
            client_options={"allow_http": bool(endpoint and endpoint.startswith("http://")), "timeout": "120s"},
            retry_config={"retry_timeout": timedelta(seconds=retry_seconds())},
            **given,
        )
    except (BaseError, ValueError) as error:
        raise RemoteError(f"{address} cannot be opened: {_reason(error)}") from error


def _profile() -> dict[str, Any]:
    """Credentials of a named profile, which only boto3 knows how to read."""
    profile = os.environ.get("AWS_PROFILE")
    if not profile or os.environ.get("AWS_ACCESS_KEY_ID"):
        return {}
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError as error:
        raise RemoteError(f"AWS_PROFILE is {profile}, and `pip install boto3` brings what reads profiles") from error
    return {"credential_provider": Boto3CredentialProvider()}


def _file(found: Any) -> RemoteFile:
    version = found["e_tag"] or found["version"] or found["last_modified"].isoformat()
    return RemoteFile(found["path"], int(found["size"]), str(version), found["last_modified"].timestamp())


def _reason(error: Exception) -> str:
    """What a person can use of an error of the library, and what to do about it."""
    text = str(error).split("\n\nDebug source")[0]
    if "NoSuchBucket" in text:
        return "there is no such bucket; make it, or correct the address"
    if "169.254.169.254" in text or "metadata.google" in text:
        return "there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or those of your store"
    if any(word in text for word in ("InvalidAccessKey", "SignatureDoesNotMatch", "AccessDenied", "403", "401")):
        return f"the store refuses these credentials ({_short(text)}); set AWS_ACCESS_KEY_ID and its like"
    if "HTTP error" in text or "error sending request" in text:
        return f"the store does not answer ({_short(text)}); look at the network, and run the same command again"
    return _short(text)


def _short(text: str) -> str:
    code = re.search(r"<Code>(.*?)</Code>.*?<Message>(.*?)</Message>", text, re.DOTALL)
    return f"{code[1]}: {code[2]}" if code else " ".join(text.split())[:300]
