"""What goes wrong with files that lie elsewhere."""


class RemoteError(Exception):
    """A store that cannot be reached, refuses, or is not set up; a mirror that is too small. Nothing was half done."""

    exit_code = 1


class RemoteSizeError(RemoteError):
    """A file that is not of the size it should have."""
