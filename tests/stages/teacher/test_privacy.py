"""Private signals: rows are clipped and noised before anything is kept, and what that is worth is said rightly."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from teachercache.cache import Cache, open_cache
from teachercache.cache.codecs import SparseLogits
from teachercache.cache.errors import CacheError
from teachercache.cache.format.document import seal_document
from teachercache.cache.spec import CacheSpec
from teachercache.data import ViewPolicy
from teachercache.stages.errors import StageError
from teachercache.stages.teacher.asking import ask_again
from teachercache.stages.teacher.extension import plan_extensions
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.privacy.accountant import epsilon
from teachercache.stages.teacher.privacy.noise import clip_rows, secret_normals
from teachercache.stages.teacher.privacy.release import noiser_of
from teachercache.stages.teacher.runner import build_cache

accounting = pytest.importorskip("dp_accounting", reason="the extra `privacy` is not installed")

PRIVATE = {"clip": 2.0, "noise": 0.5, "delta": 1e-5}
KEPT = {"logits": {"codec": "f32", "private": PRIVATE}}
MakeJob = Callable[..., CacheJob]


@pytest.fixture
def client(make_job: MakeJob, tmp_path: Path) -> Callable[..., CacheJob]:
    """client(name, key="a", ...): a job that builds the cache `name` with the secret key `key`."""

    def make(name: str, key: str = "a", signals: Any = KEPT, **more: Any) -> CacheJob:
        return replace(make_job(signals=signals, root=tmp_path / name, **more), key=tmp_path / f"{key}.key")

    return make


def said(job: CacheJob) -> np.ndarray:
    """The decoded logits of a job's cache, which is built where it is not whole."""
    build_cache(job)
    cache = open_cache(job.root)
    found: np.ndarray = cache.read(np.arange(cache.rows), ["logits"]).signals["logits"]
    return found


def files(job: CacheJob, shard: str) -> dict[str, bytes]:
    cache = open_cache(job.root)
    receipt = cache.receipts[shard]
    return {name.removeprefix(receipt.folder): Path(str(job.root), name).read_bytes() for name in receipt.files}


def test_clipping_is_exact() -> None:
    rows = np.random.default_rng(0).normal(0, 1, (50, 7)) * np.geomspace(1e-3, 1e3, 50)[:, None]
    found, norms = clip_rows(rows, 2.0), np.linalg.norm(rows, axis=1)
    short = norms <= 2
    assert 5 < short.sum() < 45
    np.testing.assert_array_equal(found[short], rows[short])
    np.testing.assert_allclose(np.linalg.norm(found[~short], axis=1), 2.0, rtol=1e-14)
    np.testing.assert_allclose(found[~short], rows[~short] * (2 / norms[~short])[:, None], rtol=1e-14)
    assert np.isnan(clip_rows(np.array([[np.inf, 1.0], [np.nan, 0.0]]), 2.0)).any(axis=1).all()


def test_noise_is_standard_normal_and_belongs_to_key_and_row() -> None:
    seeds = [str(number).encode() for number in range(4000)]
    found = secret_normals(b"k" * 32, seeds, 5)
    assert found.shape == (4000, 5) and abs(found.mean()) < 0.03 and abs(found.std() - 1) < 0.02
    assert abs((found**4).mean() - 3) < 0.2 and np.abs(np.corrcoef(found.T) - np.eye(5)).max() < 0.08
    np.testing.assert_array_equal(secret_normals(b"k" * 32, seeds[::-1], 5), found[::-1])
    assert np.abs(secret_normals(b"l" * 32, seeds, 5) - found).min() > 0
    assert len(np.unique(found)) == found.size


class Prepared:
    """What a noiser looks at of a prepared batch."""

    def __init__(self, *ids: str) -> None:
        self.ids = np.array(ids)


def noised(job: CacheJob, ids: list[str], rows: torch.Tensor) -> torch.Tensor:
    noiser = noiser_of(job)
    assert noiser is not None
    found = noiser(Prepared(*ids), {"logits": rows})["logits"]  # type: ignore[arg-type]
    assert isinstance(found, torch.Tensor) and found.dtype == torch.float32
    return found


def test_the_noise_has_the_standard_deviation_that_is_stated(client: Callable[..., CacheJob]) -> None:
    rows = torch.full((8000, 5), 0.1, dtype=torch.bfloat16)
    noise = noised(client("cache"), [str(number) for number in range(4000)], rows) - rows.float()
    assert abs(float(noise.std()) - 0.5 * 2.0) < 0.03 and abs(float(noise.mean())) < 0.04  # eight standard errors
    assert len(noise.unique()) > 0.99 * noise.numel()  # both views of a sample have their own


def test_what_is_kept_is_the_clipped_row_and_noise(
    client: Callable[..., CacheJob], make_job: MakeJob, tmp_path: Path
) -> None:
    bare = said(make_job(signals={"logits": {"codec": "f32"}}, root=tmp_path / "bare")).astype(np.float64)
    clip = float(np.median(np.linalg.norm(bare, axis=1)))
    found = said(client("cache", signals={"logits": {"codec": "f32", "private": quiet(clip)}}))
    off = found - clip_rows(bare, clip)
    assert 1e-6 * clip < np.abs(off).max() < 0.01 * clip < np.abs(bare - clip_rows(bare, clip)).max()


def quiet(clip: float) -> dict[str, float]:
    return {**PRIVATE, "clip": clip, "noise": 0.001}


def test_a_shard_that_is_redone_is_the_same_byte_for_byte(client: Callable[..., CacheJob]) -> None:
    job = client("cache")
    build_cache(job)
    before = files(job, "train-0")
    Path(str(job.root), "receipts", "train-0.json").unlink()
    Path(str(job.root), "receipts.arrow").unlink(missing_ok=True)
    assert build_cache(client("cache")).shards == 1
    assert any("logits/values" in name for name in before)
    values = {name: data for name, data in before.items() if "logits" in name}
    assert values == {name: data for name, data in files(job, "train-0").items() if "logits" in name}


def test_another_key_and_another_answer_have_other_noise(
    client: Callable[..., CacheJob], tiny_vit: Path, tmp_path: Path
) -> None:
    first, other = said(client("first")), said(client("other", key="b"))
    assert np.abs(first - other).min() > 0 and (first - other).std() > 0.5
    folder = tmp_path / "teacher"
    shutil.copytree(tiny_vit, folder)
    from transformers import ViTForImageClassification

    model = ViTForImageClassification.from_pretrained(folder)
    with torch.no_grad():
        model.classifier.bias += 1e-4
    model.save_pretrained(folder)
    assert (first - said(client("retrained", model=str(folder)))).std() > 0.5  # the noise does not cancel


def test_the_same_id_with_another_row_has_other_noise(client: Callable[..., CacheJob]) -> None:
    """A sample that was changed in place leaves the fingerprint as it is."""
    rows = torch.tensor([[0.5, 0.25, 0.0]])
    ours, again = (noised(client("cache"), ["a"], rows) for _ in range(2))
    assert torch.equal(ours, again)
    for other in (noised(client("cache"), ["a"], rows + 1e-6), noised(client("cache"), ["b"], rows)):
        assert float((ours - other).abs().max()) > 1e-3


def test_epsilon_is_the_accountants_and_stands_in_the_manifest(client: Callable[..., CacheJob]) -> None:
    build_cache(client("cache"))
    (kept,) = open_cache(client("cache").root).manifest.privacy
    rows = open_cache(client("cache").root).rows
    assert (kept.rows, kept.delta, kept.signals) == (rows, 1e-5, {"logits": {"clip": 2.0, "noise": 0.5}})
    accountant = accounting.pld.PLDAccountant()
    accountant.compose(accounting.GaussianDpEvent(20.0 / 2), 30)
    assert epsilon([20.0], 30, 1e-5) == pytest.approx(accountant.get_epsilon(1e-5), rel=1e-3)
    assert kept.epsilon == accounting.get_epsilon_gaussian(0.5 / 2 / sqrt(rows), 1e-5) > rows
    twice = epsilon([20.0, 10.0], 30, 1e-5)
    accountant.compose(accounting.GaussianDpEvent(10.0 / 2), 30)
    assert twice == pytest.approx(accountant.get_epsilon(1e-5), rel=1e-3)


def test_the_manifest_says_nothing_of_the_weights(client: Callable[..., CacheJob], make_job: MakeJob) -> None:
    job = client("cache")
    build_cache(job)
    bare = make_job(signals={"logits": {"codec": "f32"}}).teacher_identity
    text = Path(str(job.root), "manifest.json").read_text()
    assert bare["weights"] not in text and set(job.teacher_identity) == {"private", "keyed"}
    assert job.secret_key.hex() not in text and job.key is not None
    assert job.key.read_bytes() == job.secret_key and job.key.stat().st_mode & 0o077 == 0
    assert client("other", key="b").teacher_identity["keyed"] != job.teacher_identity["keyed"]
    assert client("third").teacher_identity == job.teacher_identity


def test_without_its_key_a_cache_is_not_continued(client: Callable[..., CacheJob]) -> None:
    job = client("cache")
    build_cache(job, only=lambda shard: shard == "train-0")
    assert job.key is not None
    os.rename(job.key, str(job.key) + ".lost")
    with pytest.raises(StageError, match=r"a\.key is gone.*put it back"):
        build_cache(client("cache"))
    Path(str(job.key)).write_bytes(b"short")
    with pytest.raises(StageError, match="no key of 32 bytes"):
        build_cache(client("cache"))


def test_the_missing_extra_is_one_clear_error(
    client: Callable[..., CacheJob], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "dp_accounting", None)
    with pytest.raises(StageError, match=r"pip install 'teachercache\[privacy\]'"):
        build_cache(client("cache"))
    assert not (tmp_path / "cache").exists()


def test_sparse_logits_are_chosen_from_the_noised_row(client: Callable[..., CacheJob]) -> None:
    loud = {**PRIVATE, "noise": 50.0}
    job = client("cache", signals={"logits": {"codec": "topk", "k": 2, "private": loud}})
    build_cache(job)
    cache = open_cache(job.root)
    sparse = cache.read(np.arange(cache.rows), ["logits"]).signals["logits"]
    assert isinstance(sparse, SparseLogits) and sparse.ids.shape == (cache.rows, 2)
    assert np.abs(np.asarray(sparse.values)).max() > 2.0  # what a clipped row cannot be


@pytest.mark.parametrize(
    ("signals", "reason"),
    [
        ({"logits": {"private": PRIVATE}, "embedding": {}}, "kept bare beside"),
        ({"logits": {"private": PRIVATE}, "embedding": {"private": {**PRIVATE, "delta": 1e-6}}}, "one delta"),
        ({"attention.1": {"codec": "u8sqrt", "private": PRIVATE}}, "private is for codecs"),
        ({"logits": {"codec": "head", "private": PRIVATE}}, "private is for codecs"),
        ({"attention.1": {"reduce": "cls-row", "private": PRIVATE}}, "one vector a row"),
        ({"logits": {"private": {**PRIVATE, "noise": 0}}}, "greater than or equal"),
    ],
)
def test_what_makes_no_sense_is_refused(signals: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        CacheSpec.model_validate({"signals": signals})


def test_rows_that_are_no_vectors_are_refused_when_they_are_heard(
    client: Callable[..., CacheJob], tmp_path: Path
) -> None:
    with pytest.raises(StageError, match="hidden.1.private: noise is for signals of one vector a row"):
        build_cache(client("cache", signals={"hidden.1": {"private": PRIVATE}}))
    assert not (tmp_path / "cache").exists()


def test_it_is_neither_extended_nor_asked_again(client: Callable[..., CacheJob]) -> None:
    job = client("cache")
    build_cache(job)
    more = ViewPolicy(job.policy.spec.model_copy(update={"count": job.policy.count + 1}))
    with pytest.raises(StageError, match="its epsilon is of the rows that it was begun with: it is not extended"):
        plan_extensions(replace(client("cache"), policy=more))
    with pytest.raises(StageError, match="rows with noise"):
        ask_again(client("cache"), 4, 0)


def caches(*jobs: CacheJob) -> list[Cache]:
    return [open_cache(job.root) for job in jobs if build_cache(job)]


def test_a_merge_says_what_each_client_has_spent_once(client: Callable[..., CacheJob], tmp_path: Path) -> None:
    from teachercache.cache.rewriting.average import average_plan
    from teachercache.cache.rewriting.rewrite import rewrite
    from teachercache.cache.rewriting.side_by_side import side_by_side_plan

    two = caches(client("one"), client("two", key="b"))
    mean = rewrite(str(tmp_path / "mean"), average_plan(two, "logits", [1, 1])).cache
    beside = side_by_side_plan([*two, mean], ["a", "b", "mean"]).manifest
    assert len(mean.manifest.privacy) == 2 and beside.privacy == mean.manifest.privacy
    assert json.loads((tmp_path / "mean/manifest.json").read_text())["privacy"][0]["rows"] == two[0].rows


@pytest.mark.parametrize("wrong", [5, ["x"], [{}], [{"signals": {"logits": 1}}], {"rows": -1}, {"rows": float("inf")}])
def test_a_manifest_that_says_it_wrongly_is_refused(client: Callable[..., CacheJob], wrong: Any) -> None:
    job = client("cache")
    build_cache(job)
    path = Path(str(job.root), "manifest.json")
    content = json.loads(path.read_text())
    del content["checksum"]
    content["privacy"] = [{**content["privacy"][0], **wrong}] if isinstance(wrong, dict) else wrong
    path.write_bytes(seal_document(content))
    with pytest.raises(CacheError, match="cannot be read by this version"):
        open_cache(job.root)
