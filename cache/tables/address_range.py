"""A range of addresses that files are mapped into side by side, so that numpy sees all of them as one array.

The range is reserved without memory behind it; touching a part that no file was mapped to kills the process, so whoever
reads checks first. No descriptor stays open. The range is given back when the last array over it is gone. Linux and
macOS; elsewhere, or where the system refuses, there is an OSError, and the caller does without.
"""

import ctypes
import mmap
import os
import sys
import weakref
from collections.abc import Callable
from functools import cache
from typing import Any

_READ, _NONE, _SHARED, _PRIVATE, _FIXED = mmap.PROT_READ, 0, mmap.MAP_SHARED, mmap.MAP_PRIVATE, 0x10
_ANONYMOUS, _NORESERVE = (0x1000, 0x40) if sys.platform == "darwin" else (0x20, 0x4000)
_WILLNEED = 3
HUGE = 1 << 21  # bytes of a huge page, which a file can have where file and address both begin with one
_FAILED = ctypes.c_void_p(-1).value


class AddressRange:
    """`size` bytes of addresses; numpy reads them through the array interface, and keeps the range alive."""

    def __init__(self, size: int, gone: Callable[[int], None]) -> None:
        """`gone` is told the address when the range was given back. Raises OSError where it cannot be reserved."""
        if sys.platform not in ("linux", "darwin"):
            raise OSError(f"no address range on {sys.platform}")
        found = _libc().mmap(None, size + HUGE, _NONE, _PRIVATE | _ANONYMOUS | _NORESERVE, -1, 0)
        if found == _FAILED:
            raise _os_error()
        address = -(-found // HUGE) * HUGE
        self.address: int = address
        self.size = size
        self.__array_interface__ = {"version": 3, "typestr": "|u1", "shape": (size,), "data": (address, True)}
        weakref.finalize(
            self, _give_back, found, size + HUGE, address, gone
        ).atexit = False  # a thread may still read then

    def map(self, descriptor: int, offset: int, size: int) -> None:
        """Map a file from its beginning to `offset`, a multiple of the page size. Raises OSError."""
        place = self.address + offset
        if _libc().mmap(place, size, _READ, _SHARED | _FIXED, descriptor, 0) != place:
            raise _os_error()

    def will_need(self, offset: int, size: int) -> None:
        """Ask the system to read this part ahead; it need not."""
        start = offset // mmap.PAGESIZE * mmap.PAGESIZE
        _libc().madvise(self.address + start, size + offset - start, _WILLNEED)


def _give_back(found: int, size: int, address: int, gone: Callable[[int], None]) -> None:
    gone(address)  # before another range can have the address
    _libc().munmap(found, size)


@cache
def _libc() -> Any:
    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_int64]
    library.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return library


def _os_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
