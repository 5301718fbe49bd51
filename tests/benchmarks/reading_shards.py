"""The same rows in a few and in thousands of shards: what a row costs must not depend on it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from contest import Contender, Watch, contest
from figure import Figure, compared
from reading_workloads import Reader, filled

from teachercache.cache import SignalSchema

WIDTH = 512


def shard_figures(tiny: bool, scratch: Path) -> list[Figure]:
    """Cost of a row of one float16 vector of width 512, at random from anywhere, warm."""
    total, rounds = (600, 1) if tiny else (60_000, 9)
    counts = (2, 20) if tiny else (10, 1000, 5000)
    rows = [np.random.default_rng(i).integers(0, total, 256) for i in range(2 if tiny else 300)]
    schema = SignalSchema("embedding", "f16", {}, (WIDTH,))
    contenders = {}
    for shards in counts:
        each = total // shards

        def make(rng: np.random.Generator, each: int = each) -> dict[str, dict[str, np.ndarray]]:
            return {"embedding": {"values": rng.standard_normal((each, WIDTH), np.float32).astype(np.float16)}}

        workload = filled("shards", scratch / f"shards-{shards}", (schema,), shards, each, make, 256)
        reader = workload.reusing()
        for start in range(0, total, 256):  # every shard is mapped, every page touched
            reader(np.arange(start, min(start + 256, total)))
        contenders[f"{shards} shards"] = _contender(rows, reader)
    outcome = contest(contenders, rounds)
    few = f"{counts[0]} shards"
    return [
        compared(f"the same rows in {shards:,} shards", outcome, f"{shards} shards", few, "batches", 0.9, "cpu")
        for shards in counts[1:]
    ]


def _contender(batches: Sequence[np.ndarray], reader: Reader) -> Contender:
    def run(_: Watch) -> None:
        for rows in batches:
            reader(rows)

    return Contender(len(batches), run)
