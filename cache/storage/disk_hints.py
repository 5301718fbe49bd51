"""What the kernel is told about a file that grows: how far it will, and that what was written may go to the disk now.

Both are hints: they make writing and the fsync at the end cheaper. Durability never rests on them, they change no byte
and no size of a file, and where they cannot be given (anywhere but Linux, some network disks) only time is lost.
"""

import ctypes
import sys
from collections.abc import Callable
from functools import cache

_KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE: blocks beyond the end of the file, which stays where it is
_WRITE = 2  # SYNC_FILE_RANGE_WRITE: start, do not wait


def reserve(descriptor: int, offset: int, size: int) -> bool:
    """Set `size` bytes from `offset` aside on the disk; False when that cannot be had. Cut the file to free them."""
    call = _function("fallocate", ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return call is not None and call(descriptor, _KEEP_SIZE, offset, size) == 0


def begin_writeback(descriptor: int, offset: int, size: int) -> None:
    """Start the writing of `size` bytes from `offset`; what goes wrong is left to the fsync, which reports it."""
    call = _function("sync_file_range", ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    if call is not None:
        call(descriptor, offset, size, _WRITE)


@cache
def _function(name: str, *arguments: type) -> Callable[..., int] | None:
    """Of the C library, on Linux; a call lets go of the interpreter's lock."""
    if sys.platform != "linux":
        return None
    function = getattr(ctypes.CDLL(None), name, None)
    if function is not None:
        function.argtypes = list(arguments)
    return function
