"""What goes wrong when tasks are started elsewhere."""


class LaunchError(Exception):
    """An engine that is not there, or refuses a job. The message says what it said and what to change."""

    exit_code = 2


class LaunchFailed(LaunchError):
    """Tasks were started and some failed. What is finished is kept."""

    exit_code = 1
