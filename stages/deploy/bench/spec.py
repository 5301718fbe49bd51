"""How models are measured: batch sizes, passes, threads, and at which threshold decisions are counted."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BenchSpec:
    """`runs` warm passes a batch size; `false_positives`: the share of a class's negatives that the float parent may
    take for it, which sets the threshold at which flips are counted."""

    batches: tuple[int, ...] = (1, 8, 32)
    runs: int = 50
    threads: int = 1
    false_positives: float = 0.01
