"""Whether a process of this machine lives."""

import os


def lives(pid: object) -> bool:
    """Also one of another user; False for what is no number of a process."""
    try:
        os.kill(int(str(pid)), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True
