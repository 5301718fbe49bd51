"""Every form that a codec decodes to reaches the trainer as tensors, through workers and pinned memory too."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from teachercache.cache import Cache, Manifest, RowIndex, SignalSchema, create_cache, open_cache
from teachercache.cache.codecs import HeadLogits, Packing, Ragged, SampledTargets, SparseLogits
from teachercache.stages.dataset import CacheDataset
from teachercache.stages.dataset.tensor_batch import each_tensor

ROWS, CLASSES, WIDTH = 20, 12, 6
TEMPERATURES = {"temperatures": [1.0, 2.0]}
SIGNALS = {
    "dense": SignalSchema("dense", "bf16", {}, (CLASSES,)),
    "top": SignalSchema("top", "topk", {"k": 3, **TEMPERATURES}, (CLASSES,)),
    "sampled": SignalSchema("sampled", "pps", {"k": 4, **TEMPERATURES}, (CLASSES,)),
    "drawn": SignalSchema("drawn", "sampling", {"draws": 9}, (CLASSES,)),
    "head": SignalSchema("head", "head", {}, (WIDTH,), constants={"weight": "w", "bias": "b"}),
    "text": SignalSchema("text", "int8", {}, (5, WIDTH), packing=Packing((0,))),
}
FORMS = {"top": SparseLogits, "sampled": SampledTargets, "drawn": SampledTargets, "head": HeadLogits, "text": Ragged}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """One shard with a signal of each form."""
    rng = np.random.default_rng(0)
    logits, hidden = rng.normal(0, 2, (ROWS, CLASSES)), rng.normal(size=(ROWS, WIDTH))
    weight, bias = rng.normal(size=(CLASSES, WIDTH)).astype("f4"), np.zeros(CLASSES, np.float32)
    lengths = rng.integers(1, 6, ROWS)
    text = rng.normal(size=(ROWS, 5, WIDTH)) * (np.arange(5) < lengths[:, None])[..., None]
    manifest = Manifest({"teacher": "none"}, SIGNALS, ("s0",), views=1, block=8)
    root: Path = tmp_path_factory.mktemp("forms")
    made = create_cache(root, manifest, {"w": weight, "b": bias})
    values: dict[str, Any] = dict.fromkeys(("dense", "top", "sampled", "drawn"), logits.astype(np.float32))
    values["head"] = HeadLogits(hidden.astype(np.float32), weight, bias)
    values["text"] = Ragged(text.astype(np.float32), lengths)
    writer = made.writer("s0")
    writer.append({name: made.codec(name).encode(x) for name, x in values.items()})
    ids, none = np.array([f"{i}" for i in range(ROWS)]), np.zeros((ROWS, 0))
    writer.seal(RowIndex(ids, np.zeros(ROWS, np.uint16), np.full(ROWS, -1), none), source={})
    return open_cache(root)


def assert_same(tensors: Any, arrays: Any) -> None:
    """The same form, with the same numbers, as tensors."""
    if isinstance(tensors, torch.Tensor):
        np.testing.assert_allclose(tensors.numpy(), np.asarray(arrays), rtol=1e-6, atol=1e-7)
    elif isinstance(tensors, Mapping):
        assert tensors.keys() == arrays.keys()
        for key in tensors:
            assert_same(tensors[key], arrays[key])
    elif is_dataclass(tensors):
        assert type(tensors) is type(arrays)
        for one in fields(tensors):
            assert_same(getattr(tensors, one.name), getattr(arrays, one.name))
    else:
        assert tensors == arrays and not isinstance(tensors, np.ndarray)


@pytest.mark.parametrize(("workers", "method", "decoded"), [(0, None, True), (1, "spawn", True), (2, "fork", False)])
def test_each_form_comes_through_as_tensors(cache: Cache, workers: int, method: str | None, decoded: bool) -> None:
    dataset = CacheDataset(cache, 6, decoded=decoded)
    count = 0
    for batch in DataLoader(dataset, batch_size=None, num_workers=workers, multiprocessing_context=method):
        said = cache.read(batch.rows.numpy())
        signals = (batch if decoded else dataset.decode(batch)).signals
        assert set(signals) == set(SIGNALS)
        for name, found in signals.items():
            assert isinstance(found, FORMS.get(name, torch.Tensor))
            assert_same(found, said.signals[name])
        count += len(batch)
    assert count == ROWS


def test_the_head_is_one_tensor_for_all_batches(cache: Cache) -> None:
    """Else each batch would carry a copy of it."""
    heads = [batch.signals["head"].weight for batch in CacheDataset(cache, 6, ["head"])]
    assert len({head.data_ptr() for head in heads}) == 1


def test_every_tensor_of_a_batch_is_changed(cache: Cache) -> None:
    batch = next(iter(CacheDataset(cache, 6)))
    seen: list[torch.Tensor] = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        seen.append(tensor)
        return tensor.clone()

    other = each_tensor(batch, note)
    assert len(seen) == 3 + 1 + 4 + 4 + 3 + 3 + 2  # rows, views, labels; then signal by signal
    assert_same(other.signals, cache.read(batch.rows.numpy()).signals)
