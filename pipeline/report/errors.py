"""What goes wrong when a report is written."""


class ReportError(Exception):
    """Something the report needs is missing or cannot be read. The message names the file and what to run."""

    exit_code = 2
