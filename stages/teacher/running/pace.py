"""How fast a cache was built, and which side was the limit: the teacher, the loader, or the writer."""

from dataclasses import dataclass
from typing import Literal

Side = Literal["teacher", "loader", "writer"]
_IDLE = 0.1  # a device that rests less than this share of the time is the limit itself
_KNOWN = 1 / 3  # where less of the time than this is accounted for, no side is the limit


@dataclass(frozen=True, slots=True)
class Pace:
    """Of one build, or of a shard of it: `rows`, `seconds` from the first batch on, `busy` seconds in which the device
    computed, seconds in which the teacher waited for `data` and for the `writer`, and at the `end` for the last shards.

    `processes` ran side by side: `busy`, `data`, `writer` and `end` are sums over them, `seconds` are those of the
    clock. A `teacher` pass had `batch_size` rows at the end, 0 where nothing ran; `remarks` say what was decided on the
    way.
    """

    rows: int = 0
    seconds: float = 0.0
    busy: float = 0.0
    data: float = 0.0
    writer: float = 0.0
    batch_size: int = 0
    processes: int = 1
    remarks: tuple[str, ...] = ()
    end: float = 0.0

    @property
    def rate(self) -> float:
        """Rows a second; 0 where no time passed."""
        return self.rows / self.seconds if self.seconds else 0.0

    @property
    def busy_share(self) -> float:
        """The part of the time in which the device computed, mean over the processes; at most 1."""
        whole = self.seconds * self.processes
        return min(1.0, self.busy / whole) if whole else 0.0

    @property
    def limit(self) -> Side | None:
        """The side that a faster build would need to be faster; None where most of the time went to something else."""
        if self.busy + self.data + self.writer < _KNOWN * self.seconds * self.processes:
            return None
        if 1 - self.busy_share <= _IDLE:
            return "teacher"
        waits: dict[Side, float] = {"loader": self.data, "writer": self.writer}
        worst = max(waits, key=lambda side: waits[side])
        rests = self.seconds * self.processes - self.busy
        return worst if waits[worst] > rests / 2 else "teacher"

    def line(self) -> str:
        """All of it in one line."""
        if self.limit is None:
            return (
                f"no side was the limit: of {self.seconds * self.processes:,.1f} s the teacher's device was busy "
                f"{self.busy:,.1f} s, and waited {self.data:,.1f} s for data and {self.writer:,.1f} s for the writer; "
                f"the rest went to starting and, at the end, to the last shards ({self.end:,.1f} s)"
            )
        return (
            f"the limit is the {self.limit}: its device was busy {self.busy_share:.0%} of {self.seconds:,.1f} s"
            if self.limit == "teacher"
            else f"the limit is the {self.limit}: the teacher's device was busy {self.busy_share:.0%} of "
            f"{self.seconds:,.1f} s"
        ) + f", {self.data:,.1f} s waiting for data, {self.writer:,.1f} s waiting for the writer"


def together(paces: list[Pace], seconds: float) -> Pace:
    """Processes that ran side by side for `seconds` of the clock."""
    remarks = tuple(dict.fromkeys(remark for pace in paces for remark in pace.remarks))
    return Pace(
        rows=sum(pace.rows for pace in paces),
        seconds=seconds,
        busy=sum(pace.busy for pace in paces),
        data=sum(pace.data for pace in paces),
        writer=sum(pace.writer for pace in paces),
        end=sum(pace.end for pace in paces),
        batch_size=min((pace.batch_size for pace in paces if pace.batch_size), default=0),
        processes=max(1, len(paces)),
        remarks=remarks,
    )
