"""How tasks on a real Slurm end that cannot finish: time limit, cancellation, a shard that is broken."""

import json
from dataclasses import dataclass

import pytest
from bench import Bench, MakeBench
from cluster import Cluster, until

from teachercache.cache import open_cache

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(1800)]


@dataclass(frozen=True)
class Ended:
    """Three jobs that ran side by side."""

    limited: Bench
    cancelled: Bench
    broken: Bench


@pytest.fixture(scope="module")
def ended(cluster: Cluster, make_bench: MakeBench) -> Ended:
    """A cache whose task reaches its time limit of a minute, another that is cancelled, and a chain with a broken
    shard."""
    limit = {"array": 1, "time": "00:01:00", "signal_delay": 50}
    ended = Ended(
        make_bench(2, launch=limit), make_bench(2, launch={"array": 1}), make_bench(4, broken=(1,), launch={"array": 2})
    )
    ended.limited.pace(teacher=8.0)  # of 16 passes: longer than the limit
    ended.cancelled.pace(rows=12)  # a shard has eight rows, and the first two are heard twice: one is finished
    for bench, verb in ((ended.limited, "cache build"), (ended.cancelled, "cache build"), (ended.broken, "run")):
        bench.call(*verb.split(), bench.recipe)
    ended.cancelled.working("cache-0", 12)
    ended.cancelled.call("jobs", ended.cancelled.recipe, "--cancel")
    until(lambda: bool(ended.cancelled.attempts("cache-0", "again")))  # the signal ends its waiting, and no other pace
    ended.cancelled.pace()
    until(lambda: bool(ended.limited.attempts("cache-0", "again")))
    ended.limited.pace()
    until(lambda: bool(ended.limited.attempts("cache-0", "finished")))
    until(lambda: bool(ended.broken.attempts("report-0", "f*")))
    return ended


def test_a_task_that_is_warned_of_its_time_limit_stops_and_is_started_again(ended: Ended) -> None:
    endings = [path.suffix for path in ended.limited.attempts("cache-0")]
    assert endings[0] == ".again" and endings[-1] == ".finished"
    assert open_cache(ended.limited.root / "run" / "cache").missing() == ()
    assert [task["state"] for task in ended.limited.tasks()] == ["done", "done"]


def test_a_cancelled_task_ends_keeps_finished_shards_and_is_not_started_again(cluster: Cluster, ended: Ended) -> None:
    array = json.loads((ended.cancelled.job / "job.json").read_text())["stages"][0]["arrays"][0]["id"]
    until(lambda: cluster.states()[f"{array}_0"] not in ("RUNNING", "COMPLETING", "PENDING", "REQUEUED"))
    assert [path.suffix for path in ended.cancelled.attempts("cache-0")] == [".again"]
    assert open_cache(ended.cancelled.root / "run" / "cache").shards == ("train-00",)
    cache = next(task for task in ended.cancelled.tasks() if task["task"] == 0)
    assert (cache["state"], cache["done"], cache["total"]) == ("interrupted", 1, 2)
    ended.cancelled.call("cache", "build", ended.cancelled.recipe, "--launch", "inline")
    assert open_cache(ended.cancelled.root / "run" / "cache").missing() == ()
    assert ended.cancelled.heard()[0] < 16  # not built again; its first rows are heard twice, to begin the cache


def test_a_broken_shard_leaves_the_others_to_finish_and_the_chain_stops(ended: Ended) -> None:
    cache = open_cache(ended.broken.root / "run" / "cache")
    assert cache.missing() == ("train-01",)
    states = {(task["stage"], task["task"]): task for task in ended.broken.tasks()}
    assert states["cache", 0]["state"] == "failed" and "train-01" in states["cache", 0]["said"]
    assert states["cache", 1]["state"] == "done"
    assert "1 of 4 shards are missing (train-01)" in states["train", 0]["said"]
    assert "2 of 2 trials are not trained" in states["evaluate", 0]["said"]
    assert not (ended.broken.root / "run" / "report.html").exists()
