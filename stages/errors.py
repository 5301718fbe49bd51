"""What goes wrong in a stage."""


class StageError(Exception):
    """A stage cannot start with what it was given (unknown capture point, missing signal, shapes that do not meet)."""

    exit_code = 2


class StageFailed(StageError):
    """A stage started and could not go on (NaN in a signal, every trial failed). Finished work is kept."""

    exit_code = 1


class Interrupted(Exception):
    """A signal asked the stage to stop. Everything finished is on disk; the same command continues."""

    exit_code = 75
