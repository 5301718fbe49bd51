"""What an address is: `scheme://...` lies elsewhere, everything else is a local path."""

import re
from pathlib import Path

from .errors import RemoteError

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.:-]*://")
_FLATTENED = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/(?!/)")


def is_remote(address: str | Path) -> bool:
    """Whether an address lies elsewhere. Raises RemoteError for one that became a Path on the way, and lost a slash."""
    if isinstance(address, Path):
        if _FLATTENED.match(address.as_posix()):
            raise RemoteError(f"{address} looks like an address that was made a path; give it as text, with its //")
        return False
    return _SCHEME.match(address) is not None and scheme_of(address) != "file"


def scheme_of(address: str) -> str:
    """What stands before `://`, in lower case; "" for a plain path."""
    return address.partition("://")[0].lower() if "://" in address else ""


def local_path(address: str | Path) -> Path:
    """The path of an address that is not remote; `file:///a/b` is `/a/b`."""
    text = str(address)
    return Path(text.partition("://")[2]) if scheme_of(text) == "file" else Path(address)


def below(address: str, name: str) -> str:
    """The address of a file or folder below another one."""
    return f"{address.rstrip('/')}/{name}" if name else address.rstrip("/")


def beside(address: str | Path, suffix: str) -> str | Path:
    """The address whose last name has `suffix` appended: where a cache's sibling lies."""
    if isinstance(address, Path):
        return address.with_name(f"{address.name}{suffix}")
    return f"{address.rstrip('/')}{suffix}"
