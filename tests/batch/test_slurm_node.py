"""The daemon of a node is killed with -9: its task is started elsewhere while the orphan runs on, and both may end."""

import json
import os
import signal

import pytest
from bench import MakeBench
from cluster import Cluster, until
from recipe import ROWS

from teachercache.cache import open_cache
from teachercache.cache.keeping.verify import verify_cache

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(1800)]


def test_a_node_whose_daemon_is_killed_loses_and_doubles_no_row(cluster: Cluster, make_bench: MakeBench) -> None:
    bench = make_bench(2, launch={"array": 1})
    bench.pace(rows=6)
    bench.call("cache", "build", bench.recipe)
    orphan = bench.working("cache-0", 6)
    array = json.loads((bench.job / "job.json").read_text())["stages"][0]["arrays"][0]["id"]
    node = cluster.call("squeue", "-h", "-j", f"{array}_0", "-o", "%N").strip()
    os.kill(int((cluster.root / f"slurmd-{node}.pid").read_text()), signal.SIGKILL)
    try:
        until(lambda: len(bench.attempts("cache-0")) > 1, 600)
        assert bench.working("cache-0", 6) != orphan and os.path.exists(f"/proc/{orphan}")  # both at once
    finally:
        bench.pace()
        cluster.start_again(node)
    until(lambda: all(task["state"] == "done" for task in bench.tasks()))
    until(lambda: not os.path.exists(f"/proc/{orphan}"))
    cache = open_cache(bench.root / "run" / "cache")
    assert verify_cache(cache) == [] and cache.rows == 2 * ROWS
    found = [row for shard in cache.shards for row in zip(*_ids(cache, shard), strict=True)]
    assert len(found) == len(set(found)) == 2 * ROWS


def _ids(cache: object, shard: str) -> tuple[list[str], list[int]]:
    index = cache.reader(shard).index  # type: ignore[attr-defined]
    return index.ids.tolist(), index.views.tolist()
