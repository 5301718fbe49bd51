"""What a machine says about remote files, in its environment: it is no part of a run, and no YAML names it.

TEACHERCACHE_MIRROR           folder of the local mirror; `teachercache` in the user's cache folder when not set
TEACHERCACHE_MIRROR_BYTES     how large it may get, such as 200GB; 50GB when not set
TEACHERCACHE_RETRY_SECONDS    how long a request that fails is tried again; 120 when not set
"""

import os
import re
from pathlib import Path

from .errors import RemoteError

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?(?:e[0-9]+)?)\s*([kmgt]?i?)b?", re.IGNORECASE)
_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_MIRROR_BYTES = "50GB"
_RETRY_SECONDS = "120"


def mirror_folder() -> Path:
    """Where this machine keeps copies of remote files. Raises RemoteError when there is no home folder either."""
    if given := os.environ.get("TEACHERCACHE_MIRROR"):
        return Path(given).absolute()
    try:
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError as error:
        raise RemoteError("there is no home folder; set TEACHERCACHE_MIRROR to a local folder") from error
    return Path(caches).absolute() / "teachercache"


def mirror_bytes() -> int:
    """How many bytes the mirror may hold. Raises RemoteError for a size that is none."""
    return size_of(os.environ.get("TEACHERCACHE_MIRROR_BYTES") or _MIRROR_BYTES)


def retry_seconds() -> float:
    """How long a failing request is tried again. Raises RemoteError for what is no number of seconds."""
    text = os.environ.get("TEACHERCACHE_RETRY_SECONDS") or _RETRY_SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e6:
        raise RemoteError(f"TEACHERCACHE_RETRY_SECONDS is {text!r}; write a number of seconds, such as 120")
    return seconds


def size_of(text: str) -> int:
    """Bytes from text such as 50GB, 512 MiB or 1e9. Raises RemoteError for what is no size."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise RemoteError(f"TEACHERCACHE_MIRROR_BYTES is {text!r}; write a size such as 50GB or 512MiB")
    unit = match[2].lower()
    return int(float(match[1]) * (1024 if unit.endswith("i") else 1000) ** _UNITS[unit.rstrip("i")])
