"""The dataset of torch: its batches are those of one process, whoever makes them, and it goes on where it stopped."""

import copy
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from teachercache.cache import (
    Cache,
    CacheError,
    Manifest,
    RowIndex,
    SignalSchema,
    SparseLogits,
    create_cache,
    open_cache,
)
from teachercache.stages.dataset import CacheDataset, TensorBatch
from teachercache.stages.errors import StageError

SIGNALS = ["logits", "top", "attention.0"]
# Three workers are the case to be tested, however few cores there are.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three shards of 5, 1 and 4 samples under 3 views, in blocks of 8 rows."""
    schemas = {
        "logits": SignalSchema("logits", "f16", {}, (5,)),
        "top": SignalSchema("top", "topk", {"k": 3, "temperatures": [1.0, 2.0]}, (5,)),
        "attention.0": SignalSchema("attention.0", "u8sqrt", {}, (4, 4)),
    }
    root: Path = tmp_path_factory.mktemp("cache")
    shards = ("train-0", "train-1", "train-2")
    cache = create_cache(root, Manifest({"teacher": "none"}, schemas, shards, 3, 8, (), tuple("abcde")))
    rng = np.random.default_rng(0)
    for shard, samples in zip(shards, (5, 1, 4), strict=True):
        rows, writer = 3 * samples, cache.writer(shard)
        values = {name: rng.random((rows, *schema.shape), np.float32) for name, schema in schemas.items()}
        writer.append({name: cache.codec(name).encode(x) for name, x in values.items()})
        ids, views = np.repeat([f"{shard}-{i}" for i in range(samples)], 3), np.tile(np.arange(3), samples)
        writer.seal(RowIndex(ids, views.astype(np.uint16), np.arange(rows) // 3 % 5, np.zeros((rows, 0))), source={})
    return root


@pytest.fixture
def cache(kept: Path) -> Cache:
    """That cache, opened."""
    return open_cache(kept)


def make_dataset(cache: Cache, **changes: Any) -> CacheDataset:
    return CacheDataset(cache, **{"batch_size": 4, "signals": SIGNALS, "window": 2, "seed": 1, **changes})


def loader(dataset: CacheDataset, workers: int, method: str | None = None, **changes: Any) -> "DataLoader[TensorBatch]":
    return DataLoader(dataset, batch_size=None, num_workers=workers, multiprocessing_context=method, **changes)


def assert_equal(ours: list[TensorBatch], theirs: list[TensorBatch]) -> None:
    """Every number of every batch, in the same order."""
    assert [(one.epoch, one.number) for one in ours] == [(one.epoch, one.number) for one in theirs]
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a.ids, b.ids)
        for name in ("rows", "views", "labels"):
            assert torch.equal(getattr(a, name), getattr(b, name))
        assert torch.equal(a.signals["logits"], b.signals["logits"])
        assert torch.equal(a.signals["top"].values, b.signals["top"].values)
        assert torch.equal(a.signals["top"].tails[1.0], b.signals["top"].tails[1.0])


def test_a_batch_holds_what_the_cache_says(cache: Cache) -> None:
    dataset = make_dataset(cache)
    assert len(dataset) == 8
    rows = []
    for batch in dataset:
        said = cache.read(batch.rows.numpy(), SIGNALS)
        np.testing.assert_array_equal(batch.ids, said.ids)
        np.testing.assert_array_equal(batch.views, said.views)
        np.testing.assert_array_equal(batch.labels, said.labels)
        np.testing.assert_array_equal(batch.signals["logits"], said.signals["logits"])
        assert isinstance(batch.signals["top"], SparseLogits)
        np.testing.assert_array_equal(batch.signals["top"].ids, said.signals["top"].ids)
        assert batch.views.dtype == batch.labels.dtype == batch.rows.dtype == torch.int64
        rows.append(batch.rows)
    np.testing.assert_array_equal(np.sort(torch.cat(rows)), np.arange(30))
    expected = [batch.rows for batch in cache.batches(4, SIGNALS, window=2, seed=1)]
    np.testing.assert_array_equal(torch.cat(rows), np.concatenate(expected))


@pytest.mark.parametrize(("method", "workers"), [("fork", 1), ("fork", 3), ("spawn", 2)])
def test_workers_give_the_batches_of_one_process(cache: Cache, method: str, workers: int) -> None:
    dataset = make_dataset(cache)
    whole = {epoch: read(dataset, epoch) for epoch in (0, 1)}
    through = loader(dataset, workers, method, persistent_workers=True)
    for epoch in (0, 1, 0):
        dataset.set_epoch(epoch)
        assert_equal(list(through), whole[epoch])
    assert not torch.equal(whole[0][0].rows, whole[1][0].rows)


def read(dataset: CacheDataset, epoch: int, start: int = 0) -> list[TensorBatch]:
    """An epoch read in this process."""
    dataset.set_epoch(epoch)
    return list(dataset)[start:]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_reading_that_was_stopped_goes_on_as_if_it_had_not_been(cache: Cache, workers: int) -> None:
    whole = read(make_dataset(cache), 3) + read(make_dataset(cache), 4)
    for stop in (0, 2, 7):
        first = make_dataset(cache)
        first.set_epoch(3)
        for batch in loader(first, workers):
            if batch.number == stop:
                break
        state = json.loads(json.dumps(first.state_dict(batch)))
        second = make_dataset(cache)
        second.load_state_dict(state)
        assert second.epoch == 3 and len(second) == 7 - stop
        rest = []
        for epoch in range(second.epoch, 5):
            second.set_epoch(epoch)
            rest += list(loader(second, workers))
        assert_equal(rest, whole[stop + 1 :])


def test_a_state_without_a_batch_needs_a_process_that_reads(cache: Cache) -> None:
    dataset = make_dataset(cache)
    iterator = iter(dataset)
    for _ in range(3):
        batch = next(iterator)
    assert dataset.state_dict() == dataset.state_dict(batch)
    other = make_dataset(cache)
    for _ in loader(other, 1):
        pass
    with pytest.raises(StageError, match="say after which batch"):
        other.state_dict()


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning")  # torchdata 0.11 under torch 2.13
@pytest.mark.parametrize("workers", [0, 2])
def test_the_stateful_loader_of_torchdata_resumes_it(cache: Cache, workers: int) -> None:
    stateful = pytest.importorskip("torchdata.stateful_dataloader", reason="torchdata is not installed")
    whole = read(make_dataset(cache), 0)
    for stop in (1, 2, 5):
        first = stateful.StatefulDataLoader(make_dataset(cache), batch_size=None, num_workers=workers)
        iterator = iter(first)
        for _ in range(stop):
            next(iterator)
        second = stateful.StatefulDataLoader(make_dataset(cache), batch_size=None, num_workers=workers)
        second.load_state_dict(first.state_dict())
        assert_equal(list(second), whole[stop:])


def test_a_state_of_another_reading_is_refused_naming_what_differs(cache: Cache) -> None:
    dataset = make_dataset(cache)
    state = dataset.state_dict(next(iter(dataset)))
    for changes, message in (
        ({"seed": 2}, "seed was 1 and is 2"),
        ({"window": 3}, "window was 2 and is 3"),
        ({"batch_size": 5}, "rows_of_all_ranks was 4 and is 5"),
        ({"views": [0, 1]}, r"views was \[0, 1, 2\] and is \[0, 1\]"),
        ({"shuffle": False}, "shuffle was True and is False"),
    ):
        with pytest.raises(StageError, match=message):
            make_dataset(cache, **changes).load_state_dict(state)
    with pytest.raises(CacheError, match="begin at batch 9"):
        dataset.load_state_dict({**state, "batch": 9})


def test_other_ranks_may_go_on_when_they_read_as_many_rows_together(cache: Cache) -> None:
    dataset = make_dataset(cache)
    whole = list(dataset)
    ranks = [make_dataset(cache, batch_size=2, rank=rank, world=2) for rank in (0, 1)]
    for rank in ranks:
        rank.load_state_dict(dataset.state_dict(whole[4]))
    for one, *parts in zip(whole[5:], *ranks, strict=True):
        assert torch.equal(one.rows, torch.sort(torch.cat([part.rows for part in parts])).values)


def test_an_epoch_is_not_read_twice_unasked(cache: Cache) -> None:
    dataset = make_dataset(cache)
    next(iter(dataset))  # a look at the first batch is no epoch
    list(dataset)
    with pytest.raises(StageError, match="epoch 0 was read to its end already.*set_epoch"):
        list(dataset)
    dataset.set_epoch(0)
    list(dataset)
    unshuffled = make_dataset(cache, shuffle=False)
    assert_equal(list(unshuffled), list(unshuffled))


@pytest.mark.parametrize("persistent", [True, False])
def test_workers_do_not_read_an_epoch_twice_unasked_either(cache: Cache, persistent: bool) -> None:
    dataset = make_dataset(cache)
    through = loader(dataset, 3, persistent_workers=persistent)
    assert len(list(through)) == 8
    with pytest.raises(StageError, match="set_epoch"):
        list(through)


def test_encoded_batches_decode_to_what_decoded_ones_hold(cache: Cache) -> None:
    encoded = make_dataset(cache, decoded=False)
    batches = list(loader(encoded, 1))
    assert set(batches[0].signals["top"]) == {"ids", "values", "tails"}
    assert batches[0].signals["top"]["ids"].dtype == torch.uint16
    assert_equal([encoded.decode(batch) for batch in batches], list(make_dataset(cache)))


def test_only_the_views_asked_for_come(cache: Cache) -> None:
    batches = list(make_dataset(cache, views=[2]))
    assert sum(map(len, batches)) == 10 and all(bool((batch.views == 2).all()) for batch in batches)


def test_ranks_are_those_of_torch_distributed(cache: Cache, tmp_path: Path) -> None:
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        assert len(make_dataset(cache)) == 8
        assert make_dataset(cache)._batching.world == 1
    finally:
        torch.distributed.destroy_process_group()
    with pytest.raises(StageError, match="give both"):
        make_dataset(cache, rank=1)


def test_a_cache_with_missing_shards_is_refused(cache: Cache, tmp_path: Path) -> None:
    with pytest.raises(CacheError, match="no signal 'logit'"):
        make_dataset(cache, signals=["logit"])
    shutil.copytree(cache.root, tmp_path / "cache")
    (tmp_path / "cache" / "receipts" / "train-1.json").unlink()
    with pytest.raises(CacheError, match=r"1 of 3 shards are missing \(train-1\)"):
        make_dataset(open_cache(tmp_path / "cache"))


def test_a_worker_that_sees_other_shards_reads_nothing(cache: Cache) -> None:
    dataset = make_dataset(cache)
    dataset._cache.row_counts = dataset._cache.row_counts[:-1]  # what another process might find
    with pytest.raises(CacheError, match="2 finished shards with 18 rows here, and had 3 with 30"):
        next(iter(dataset))


def test_a_copy_reads_the_same(cache: Cache) -> None:
    dataset = make_dataset(cache)
    iterator = iter(dataset)
    next(iterator)
    for other in (copy.deepcopy(dataset), pickle.loads(pickle.dumps(dataset))):
        assert_equal(read(other, 2), read(make_dataset(cache), 2))


@pytest.mark.gpu
def test_batches_are_pinned_for_the_copy_to_the_device(cache: Cache) -> None:
    dataset = make_dataset(cache)
    for batch in loader(dataset, 1, pin_memory=True):
        assert batch.signals["top"].ids.is_pinned() and batch.labels.is_pinned()
        there = batch.to("cuda", non_blocking=True)
        assert there.signals["top"].values.device.type == "cuda"
