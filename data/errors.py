"""What goes wrong with samples: always the user's files, so always bad input."""


class DataError(Exception):
    """A source, shard, sample or view policy that cannot be used. The message names it and says what to do."""

    exit_code = 2


class UndecodableError(DataError):
    """A sample whose bytes are no image, text, array or JSON; `source.on_error: skip` leaves such samples out."""
