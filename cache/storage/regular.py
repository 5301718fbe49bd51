"""Opens files that are files: a pipe or a device in their place would block the reader, or never end."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

_NO_WAITING = getattr(os, "O_NONBLOCK", 0)  # a pipe without a writer would block the opening itself


def open_regular(path: Path) -> BinaryIO:
    """A file, or what a link leads to, open for reading. Raises OSError when it is anything else."""
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | _NO_WAITING))
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return file
