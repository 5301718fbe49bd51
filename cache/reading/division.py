"""How the rows of an epoch are divided into batches, and batches between ranks.

A *group* is what all ranks read in one step: `batch_size * world` consecutive places of the epoch's order, cut evenly.
So a group depends on that product alone, and a run continues with other ranks as long as the product stays. No place
is given twice, none is left out (but by `drop_last`), and every rank makes the same number of batches, none of them
empty: ranks that wait for each other would hang, and the mean of an empty batch is not a number.
"""

from dataclasses import dataclass

from ..errors import CacheError


@dataclass(frozen=True, slots=True)
class Division:
    """`rows` places of an epoch in batches of `batch_size` for each of `world` ranks.

    The last group is smaller: it is split evenly, or left out where `drop_last`. Where it holds fewer rows than there
    are ranks, it shares evenly with the group before it. Raises CacheError where some rank would still go empty.
    """

    rows: int
    batch_size: int
    world: int = 1
    drop_last: bool = False

    def __post_init__(self) -> None:
        for name, value in {"batch_size": self.batch_size, "world": self.world}.items():
            if value < 1:
                raise CacheError(f"{name} is {value}; it must be at least 1")
        full, rest = divmod(self.rows, self.group)
        if rest and not self.drop_last and rest < self.world and not (full and self.batch_size > 1):
            raise CacheError(
                f"{self.rows} rows in batches of {self.batch_size} leave {rest} for {self.world} ranks at the end, and "
                "a rank would have none; use drop_last=True or fewer ranks"
            )

    @property
    def group(self) -> int:
        """Rows of a whole group."""
        return self.batch_size * self.world

    @property
    def batches(self) -> int:
        """Batches that each rank makes in an epoch."""
        return self.rows // self.group if self.drop_last else -(-self.rows // self.group)

    def group_span(self, number: int) -> tuple[int, int]:
        """First place of a group, and the first one behind it."""
        start, stop = number * self.group, min((number + 1) * self.group, self.rows)
        rest = 0 if self.drop_last else self.rows % self.group
        if 0 < rest < self.world and number >= self.batches - 2:
            first = (self.batches - 2) * self.group
            middle = (first + self.rows) // 2
            return (first, middle) if number == self.batches - 2 else (middle, self.rows)
        return start, stop

    def span(self, number: int, rank: int) -> tuple[int, int]:
        """First place of a rank's batch, and the first one behind it. Raises CacheError for a batch or rank beyond."""
        if not (0 <= number < self.batches and 0 <= rank < self.world):
            raise CacheError(
                f"batch {number} of rank {rank} was asked for; there are {self.batches} batches and {self.world} ranks"
            )
        start, stop = self.group_span(number)
        return start + (stop - start) * rank // self.world, start + (stop - start) * (rank + 1) // self.world
