"""What torchrun says in the environment of a process: which of how many it is. Loads no torch."""

from collections.abc import Mapping

from ...errors import StageError


def rank_asked(environment: Mapping[str, str]) -> tuple[int, int, int] | None:
    """(rank, size, local rank) as torchrun says them; None where a process trains alone. Raises StageError for numbers
    that are none."""
    if not {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= set(environment):
        return None
    try:
        rank, size = int(environment["RANK"]), int(environment["WORLD_SIZE"])
        local = int(environment.get("LOCAL_RANK", rank))
    except ValueError as error:
        raise StageError(f"RANK, WORLD_SIZE and LOCAL_RANK are numbers that torchrun sets: {error}") from error
    if not 0 <= rank < size:
        raise StageError(f"RANK is {rank}, and WORLD_SIZE {size}: torchrun sets both")
    return (rank, size, local) if size > 1 else None
