"""The last words of a task, out of its log. Reads the end of the file alone, however long it is."""

import os
from pathlib import Path


def last_lines(path: Path, count: int) -> list[str]:
    """The last lines of a log that are not empty; none when there is no log."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [line.strip() for line in text.splitlines() if line.strip()][-count:]
