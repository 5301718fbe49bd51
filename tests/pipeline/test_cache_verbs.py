"""The verbs that keep a cache, through the command line, on a small cache that a teacher has built."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow.parquet
import pytest
import yaml

from teachercache.cache import open_cache
from teachercache.cache.format.row_index import rows_path
from teachercache.cache.storage.address import open_store
from teachercache.cache.tables.lost_file import repair_advice

MakeRecipe = Callable[..., Path]


class Run(Protocol):
    """Run the command line in this process; everything it printed, on one line."""

    def __call__(self, *args: object, code: int = 0) -> str: ...


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of caches that were built once, by the words of their teacher's YAML; each test copies them."""
    return {"root": tmp_path_factory.mktemp("built")}


@pytest.fixture
def recipe(run: Run, make_recipe: MakeRecipe, built: dict[str, Path], tmp_path: Path) -> Path:
    """The YAML of a run whose caches are built: 3 shards of 6 samples x 2 views; logits, embedding, attention.1."""
    found = make_recipe()
    if "recipe" not in built:
        run("cache", "build", found)
        shutil.copytree(tmp_path / "run", built["root"] / "run")
        built["recipe"] = found
    elif not (tmp_path / "run").exists():
        shutil.copytree(built["root"] / "run", tmp_path / "run")
    return found


@pytest.fixture
def cache(recipe: Path, tmp_path: Path) -> Path:
    """The training cache of `recipe`."""
    return tmp_path / "run" / "cache"


def changed(recipe: Path, **cache: object) -> Path:
    """The same YAML with other settings of its cache."""
    content = yaml.safe_load(recipe.read_text())
    content["cache"] |= cache
    new = recipe.with_name("changed.yaml")
    new.write_text(yaml.safe_dump(content))
    return new


def test_inspect_tells_bytes_cost_and_rubbish(run: Run, cache: Path) -> None:
    (cache / "shards/train-0.ffffffffffff").mkdir()
    (cache / "shards/train-0.ffffffffffff/zarr.json").write_bytes(b"12345")
    said = run("cache", "inspect", cache)
    assert "cost:" in said and "rows/s" in said and "rubbish: 1 thing, 5 B" in said
    found = json.loads(run("cache", "inspect", cache, "--json"))
    receipts = open_cache(cache).receipts.values()
    logits = [r["bytes"] for receipt in receipts for name, r in receipt.files.items() if "/logits/" in name]
    assert found["signals"]["logits"]["bytes"] == sum(logits) > 36 * 20
    assert found["rubbish"] == {"things": 1, "bytes": 5} and found["extensions"] == [] and found["derived"] is None
    assert found["cost"]["seconds"] > found["cost"]["teacher_seconds"] * 0.1 > 0
    assert found["cost"]["bytes_per_second"] > 0


def test_verify_reports_and_repair_mends_once(run: Run, recipe: Path, cache: Path) -> None:
    folder = cache / open_cache(cache).receipts["train-2"].folder
    (folder / "logits/values/c/0/0").write_bytes(b"short")
    before = sorted(cache.rglob("*"))
    for flags in ([], ["--fast"]):
        said = run("cache", "verify", recipe, *flags, code=1)
        assert "damaged shard train-2" in said and "has 5 bytes where" in said and "cache repair" in said
    assert "would be taken out of use: train-2" in run("cache", "repair", recipe, "--dry-run")
    assert sorted(cache.rglob("*")) == before
    said = run("cache", "repair", recipe)
    assert "taken out of use: train-2" in said and f"teachercache cache build {recipe}" in said
    assert not folder.exists() and (cache / "receipts/damaged/train-2.json").exists()
    assert "nothing is broken" in run("cache", "repair", recipe)
    run("cache", "build", recipe)
    assert "3 shards are whole" in run("cache", "verify", recipe)


def test_verify_asks_the_teacher_again(run: Run, recipe: Path, cache: Path) -> None:
    said = run("cache", "verify", recipe, "--teacher", "5", "--seed", "3")
    assert "asked again for 5 rows" in said and "15 values 15 are equal byte for byte" in said
    assert "--teacher needs the YAML" in run("cache", "verify", cache, "--teacher", "5", code=2)


def test_a_slice_is_what_a_configuration_of_its_part_trains_from(
    run: Run, recipe: Path, cache: Path, tmp_path: Path
) -> None:
    out = tmp_path / "part"
    ask = ("--signals", "logits,embedding", "--shards", "0-1", "--views", "0")
    assert "would write" in run("cache", "slice", recipe, out, *ask, "--dry-run") and not out.exists()
    assert "2 shards made" in run("cache", "slice", recipe, out, *ask)
    part, whole = open_cache(out), open_cache(cache)
    np.testing.assert_array_equal(
        part.encoded("logits", np.arange(12))["values"], whole.encoded("logits", np.arange(0, 24, 2))["values"]
    )
    content = yaml.safe_load(recipe.read_text())
    content["cache"] |= {"path": str(out), "signals": {"logits": {}, "embedding": {"codec": "int8"}}}
    content["source"]["path"] = str(tmp_path / "data" / "train-[01].tar")
    content["views"]["count"] = 1
    own = tmp_path / "part.yaml"
    own.write_text(yaml.safe_dump(content))
    assert "trained" in run("train", own)
    assert "2 shards are whole" in run("cache", "verify", own)
    assert "teachercache cache extend" in run("train", changed(recipe, path=str(out)), code=2)
    said = run("cache", "slice", cache, tmp_path / "other", "--shards", "0")
    assert "no configuration can train from this slice" in said and open_cache(tmp_path / "other").rows == 12
    assert "is no shard" in run("cache", "slice", recipe, out, "--shards", "nope", code=2)
    assert "no range of views" in run("cache", "slice", recipe, out, "--views", "x", code=2)


def test_a_recoded_cache_is_what_a_configuration_with_that_codec_trains_from(
    run: Run, recipe: Path, cache: Path, tmp_path: Path
) -> None:
    out, ask = tmp_path / "new", ("--signal", "logits", "--codec", "topk", "--k", "4", "--temperatures", "1,2")
    said = run("cache", "recode", cache, out, *ask)
    assert "tail_mass" in said and "of what f16 gave, which had lost max_abs" in said and "3 shards made" in said
    assert "0 shards made, 3 stood already" in run("cache", "recode", cache, out, *ask)
    assert "derived: made by `teachercache cache recode`" in run("cache", "inspect", out)
    topk = {"codec": "topk", "k": 4, "temperatures": [1, 2]}
    new = changed(recipe, path=str(out), signals={"logits": topk, "embedding": {"codec": "int8"}})
    assert "trained" in run("train", new)
    assert "another" in run("cache", "recode", cache, out, "--signal", "logits", "--codec", "f32", code=2)
    said = run("cache", "recode", cache, out, "--signal", "logits", "--codec", "f16", "--k", "3", code=2)
    assert "--codec: codec f16 takes no k" in said
    assert "--codec" in run("cache", "recode", cache, out, "--signal", "logits", "--codec", "nope", code=2)


def test_recode_finds_principal_components_and_goes_on_with_them(run: Run, cache: Path, tmp_path: Path) -> None:
    ask = ("--signal", "embedding", "--codec", "pca", "--variance", "0.9")
    said = run("cache", "recode", cache, tmp_path / "new", *ask)
    assert "<- kept" in said and "unexplained" in said
    new, old = open_cache(tmp_path / "new"), open_cache(cache)
    rows = np.arange(36)
    before, after = old.read(rows).signals["embedding"], new.read(rows).signals["embedding"]
    lost = ((before - after) ** 2).sum() / ((before - before.mean(0)) ** 2).sum()
    assert 0.01 < lost < 0.1 and new.manifest.signals["embedding"].parameters["dimensions"] < 16
    shard = new.root / "receipts/train-1.json"
    shard.unlink()
    said = run("cache", "recode", cache, tmp_path / "new", *ask)
    assert "1 shard made, 2 stood already" in said and "<- kept" not in said
    np.testing.assert_array_equal(open_cache(tmp_path / "new").read(rows).signals["embedding"], after)
    assert "either --dimensions" in run("cache", "recode", cache, tmp_path / "x", *ask[:4], code=2)


def test_a_configuration_of_a_cache_with_principal_components_is_checked_and_trained(
    run: Run, recipe: Path, cache: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new"
    run("cache", "recode", cache, out, "--signal", "embedding", "--codec", "pca", "--dimensions", "5")
    signals = {"logits": {}, "embedding": {"codec": "pca", "dimensions": 5}}
    new = changed(recipe, path=str(out), signals=signals)
    assert "ready" in run("check", new) and "trained" in run("train", new)
    elsewhere = changed(recipe, path=str(tmp_path / "nowhere"), signals=signals)
    assert "teachercache cache recode" in run("check", elsewhere, code=2)


def test_recode_compresses_without_changing_a_value(run: Run, cache: Path, tmp_path: Path) -> None:
    run("cache", "recode", cache, tmp_path / "new", "--signal", "attention.1", "--compress", "zstd")
    new, old, rows = open_cache(tmp_path / "new"), open_cache(cache), np.arange(36)
    assert new.manifest.signals["attention.1"].compression == "zstd"
    for name, values in old.encoded("attention.1", rows).items():
        np.testing.assert_array_equal(new.encoded("attention.1", rows)[name], values)


def test_recode_asks_what_to_do_and_loses_nothing_by_compression(run: Run, cache: Path, tmp_path: Path) -> None:
    assert "give --codec" in run("cache", "recode", cache, tmp_path / "x", "--signal", "logits", code=2)
    assert "give --signal" in run("cache", "recode", cache, tmp_path / "x", "--codec", "f32", code=2)
    assert not (tmp_path / "x").exists()
    said = run("cache", "recode", cache, tmp_path / "new", "--compress", "zstd")
    assert said.count("compressed with zstd, same values") == 3 and "loses" not in said
    assert {it.compression for it in open_cache(tmp_path / "new").manifest.signals.values()} == {"zstd"}
    said = run("cache", "recode", cache, tmp_path / "new", "--signal", "logits", "--codec", "int8", code=2)
    assert "holds another cache" in said and "cache.path" not in said and "configuration" not in said


def test_recode_that_would_change_nothing_is_refused_unless_another_signal_changes(
    run: Run, cache: Path, tmp_path: Path
) -> None:
    out, same = tmp_path / "new", ("--signal", "embedding", "--codec", "int8")
    for words in (same, (*same, "--dry-run"), (*same, "--compress", "none"), ("--compress", "none")):
        said = run("cache", "recode", cache, out, *words, code=2)
        assert "nothing would change" in said and "embedding as int8" in said
    assert not out.exists()
    run("cache", "recode", cache, out, *same, "--signal", "logits", "--dry-run")
    run("cache", "recode", cache, out, *same, "--compress", "zstd")
    assert open_cache(out).manifest.signals["embedding"].compression == "zstd"


def test_a_slice_is_not_made_into_another_slice(run: Run, cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "part"
    assert "3 shards made" in run("cache", "slice", cache, out, "--signals", "logits,embedding")
    for flags in ([], ["--dry-run"]):
        said = run("cache", "slice", cache, out, "--signals", "logits", *flags, code=2)
        assert "holds another cache" in said and "embedding" in said
    assert "0 shards made, 3 stood already" in run("cache", "slice", cache, out, "--signals", "logits,embedding")
    assert "did you mean 'logits'?" in run("cache", "slice", cache, tmp_path / "x", "--signals", "logit", code=2)
    for number in "01":
        run("cache", "slice", cache, tmp_path / number, "--shards", number)
    said = run("cache", "merge", tmp_path / "x", tmp_path / "0", tmp_path / "1", code=2)
    assert "slice the whole one again" in said and "--side-by-side" not in said


def test_repair_of_a_folder_names_no_file_that_is_not_there(run: Run, cache: Path) -> None:
    next(cache.glob("shards/train-2.*/logits/values/c/0/0")).write_bytes(b"short")
    said = run("cache", "repair", cache)
    assert "CONFIG" not in said and "`teachercache cache build` with the YAML file of the run" in said
    for number in range(2):
        (cache / f"receipts/train-{number}.json").unlink()
    said = run("cache", "inspect", cache)
    assert "0 rows/s" not in said and "36 samples" not in said


def test_shards_of_two_builders_become_one_cache_that_build_calls_complete(
    run: Run, recipe: Path, cache: Path, tmp_path: Path
) -> None:
    for name, shards in (("a", "0-1"), ("b", "1-2")):
        other = tmp_path / name
        shutil.copytree(cache, other)
        keep = range(int(shards[0]), int(shards[2]) + 1)
        for number in set(range(3)) - set(keep):
            (other / f"receipts/train-{number}.json").unlink()
    out = tmp_path / "all"
    said = run("cache", "merge", out, tmp_path / "a", tmp_path / "b", "--dry-run")
    assert "taken once: train-1" in said and not out.exists()
    assert "3 shards made" in run("cache", "merge", out, tmp_path / "a", tmp_path / "b")
    assert "complete, 3 shards" in run("cache", "build", changed(recipe, path=str(out)))
    shutil.copytree(tmp_path / "a", tmp_path / "same")
    said = run("cache", "merge", tmp_path / "few", tmp_path / "a", tmp_path / "same")
    assert "2 shards made" in said and "missing 1 shard that is not finished: train-2" in said


def test_shards_that_two_builders_have_built_are_taken_once(run: Run, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe, parts = make_recipe(), (tmp_path / "a", tmp_path / "b")
    for part, shards in zip(parts, ("0-1", "1-2"), strict=True):
        run("cache", "build", changed(recipe, path=str(part)), "--shards", shards)
    a, b = (open_cache(part).manifest.signals["embedding"] for part in parts)
    assert a.error != b.error and a.identity() == b.identity()
    out = tmp_path / "all"
    assert "taken once: train-1" in run("cache", "merge", out, *parts)
    assert "3 shards are whole" in run("cache", "verify", out)


def test_two_teachers_side_by_side_and_averaged(run: Run, recipe: Path, cache: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "cache"
    shutil.copytree(cache, other)
    said = run("cache", "merge", tmp_path / "both", cache, other, "--names", "a,b")
    assert "a.logits" in said and "b.attention.1" in said
    both = changed(recipe, path=str(tmp_path / "both"), signals={"a.logits": {"point": "logits"}})
    content = yaml.safe_load(both.read_text())
    content["students"][0]["objective"] = [{"loss": "kl", "signal": "a.logits"}, {"loss": "cross_entropy"}]
    both.write_text(yaml.safe_dump(content))
    assert "trained" in run("train", both)
    run("cache", "merge", tmp_path / "named", cache, other, "--side-by-side")
    assert {name.partition(".")[0] for name in open_cache(tmp_path / "named").signals} == {"run", "other"}
    run("cache", "merge", tmp_path / "mean", cache, other, "--average", "logits", "--weights", "1,3", "--codec", "f32")
    mean, one = (open_cache(path).read(np.arange(36)).signals["logits"] for path in (tmp_path / "mean", cache))
    one = one - np.log(np.exp(one).sum(-1, keepdims=True))
    np.testing.assert_allclose(mean, one, atol=1e-5)
    assert "teacher" in run(
        "cache", "build", changed(recipe, path=str(tmp_path / "mean"), signals={"logits": {}}), code=2
    )
    assert "2 weights above 0" in run(
        "cache", "merge", tmp_path / "x", cache, other, "--average", "logits", "--weights", "1", code=2
    )
    assert "at least two caches" in run("cache", "merge", tmp_path / "x", cache, code=2)


def test_export_writes_what_other_programs_read(run: Run, cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "exported"
    ask = ("cache", "export", cache, out, "--to", "parquet", "--signals", "logits")
    assert "would write" in run(*ask, "--dry-run") and not out.exists()
    assert "3 shards as parquet" in run(*ask)
    table = pyarrow.parquet.read_table(out / "train-0.parquet")
    expected = open_cache(cache).read(np.arange(12)).signals["logits"]
    np.testing.assert_array_equal(np.array(table["logits"].to_pylist(), np.float32), expected)
    assert "0 shards as parquet, 3 stood already" in run(*ask)
    assert "other settings" in run(*ask[:4], "--to", "npy", code=2)


def test_gc_removes_old_rubbish_alone(run: Run, cache: Path) -> None:
    (cache / "shards/train-0.ffffffffffff").mkdir()
    (cache / "shards/train-0.ffffffffffff/zarr.json").write_bytes(b"12345")
    assert "removed 0 things, 0 B; 1 younger than 24h stay" in run("cache", "gc", cache)
    assert "would remove 1 thing, 5 B" in run("cache", "gc", cache, "--older-than", "0s", "--dry-run")
    assert "removed 1 thing, 5 B" in run("cache", "gc", cache, "--older-than", "0s")
    assert "removed 0 things" in run("cache", "gc", cache, "--older-than", "0s")
    assert "3 shards are whole" in run("cache", "verify", cache)
    assert "no time" in run("cache", "gc", cache, "--older-than", "soon", code=2)


@pytest.mark.parametrize("lost", ["logits/values/c/0/0", "logits/values/zarr.json", "rows"])
def test_training_from_a_cache_that_has_lost_a_file_says_how_to_have_it_again(
    run: Run, recipe: Path, cache: Path, lost: str
) -> None:
    folder = open_cache(cache).receipts["train-1"].folder
    (cache / rows_path(folder) if lost == "rows" else cache / folder / lost).unlink()
    said = run("train", recipe, code=1)
    assert f"run `teachercache cache repair {cache}`, then `teachercache cache build`" in said
    assert "taken out of use: train-1" in run("cache", "repair", cache)


def test_the_advice_for_an_extension_names_the_cache_that_is_repaired() -> None:
    cache = open_store("/data/extensions/mine")
    assert "repair /data/extensions/mine`" in repair_advice(cache)
    assert "repair /data/extensions/mine`" in repair_advice(cache.below("extensions/001-0123456789ab"))
