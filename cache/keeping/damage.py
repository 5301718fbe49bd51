"""What is wrong with a cache, in words that name the file, row or field."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is wrong with a shard; `shard` is "" when it concerns the cache as a whole, and `extension` is the
    name of the extension that it lies in, "" for the base."""

    shard: str
    problem: str
    extension: str = ""

    def __str__(self) -> str:
        where = f"extension {self.extension}, " if self.extension else ""
        return f"{where}shard {self.shard}: {self.problem}" if self.shard else f"{where}{self.problem}"
