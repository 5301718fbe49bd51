"""Which trials fit on a GPU together, by what earlier ones of the same students have taken at most.

It refuses to trust a figure too far: what K trials took together is the least for fewer of them, because they share a
stream and libraries whose memory nobody divides.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peak:
    """`bytes` that a process held of its GPU at most while `at_once` trials of one student trained in it."""

    bytes: int
    at_once: int

    @property
    def each(self) -> float:
        """Bytes a trial, their shared ones divided; no less is needed for each of more trials."""
        return self.bytes / self.at_once


def needed_bytes(students: Sequence[str], peaks: Mapping[str, Peak]) -> float:
    """Bytes that trials of these students (each named as often as it is there) take together, or a little less."""
    counts = Counter(students)
    together = sum(count * peaks[name].each for name, count in counts.items())
    return max([together, *(peaks[name].bytes for name in counts)])


def packs(trials: Sequence[tuple[str, str]], peaks: Mapping[str, Peak], budget: float) -> list[list[str]]:
    """The trials, (student, name) each, in order, as many in a pack as `budget` bytes hold; one alone always goes."""
    found: list[list[str]] = []
    inside: list[str] = []
    for student, name in trials:
        if found and needed_bytes([*inside, student], peaks) <= budget:
            found[-1].append(name)
            inside.append(student)
        else:
            found.append([name])
            inside = [student]
    return found
