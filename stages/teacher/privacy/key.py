"""The secret key that a client's noise comes from: a file beside the cache, which nobody else may have.

Whoever has it can subtract the noise. It is made once and never again for a cache that has begun: other noise on the
same rows would be a second release of them.
"""

import os
import secrets
from pathlib import Path

from ....cache.errors import CacheWriteError
from ....cache.storage.durable import publish_file
from ...errors import StageError

KEY_FILE = "private.key"
_BYTES = 32


def secret_key(path: Path, begun: bool) -> bytes:
    """The 32 bytes at `path`, which are made where no cache has `begun` and there are none; only the owner may read it.

    Raises StageError when they are gone, or are no key.
    """
    if not path.exists():
        if begun:
            raise StageError(
                f"{path} is gone, and the cache was begun with it: put it back. With another key the rows would be "
                "released again with other noise; then build under another cache.path and share only one of the two"
            )
        _make(path)
    try:
        key = path.read_bytes()
    except OSError as error:
        raise StageError(f"{path}, the secret key of the noise, cannot be read: {error.strerror or error}") from error
    if len(key) != _BYTES:
        raise StageError(f"{path} is no key of {_BYTES} bytes: put back the one that the cache was begun with")
    return key


def _make(path: Path) -> None:
    """The file may exist afterwards because another process was faster; then its key holds."""
    before = os.umask(0o077)
    try:
        publish_file(path, secrets.token_bytes(_BYTES))
    except CacheWriteError as error:
        raise StageError(f"{path}, the secret key of the noise: {error}") from error
    finally:
        os.umask(before)
