"""Two teachers in one file: one build hears both on the same samples and views, each for its own signals."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from teachercache.cache import Cache, open_cache
from teachercache.cache.keeping.repair import retire_shard


@pytest.fixture
def other_teacher(small_teacher: Path, tmp_path: Path) -> Path:
    """The same architecture with other weights."""
    import shutil

    from transformers import ViTForImageClassification

    folder = tmp_path / "other"
    shutil.copytree(small_teacher, folder)
    torch.manual_seed(1)
    model = ViTForImageClassification.from_pretrained(small_teacher)
    torch.nn.init.normal_(model.classifier.weight)
    model.save_pretrained(folder)
    return folder


def recipe_of(make_recipe: Callable[..., Path], other: Path, tmp_path: Path) -> Path:
    signals = {"logits": {}, "embedding": {"codec": "int8"}, "big.logits": {}, "big.hidden.*": {"reduce": "cls"}}
    teachers = {"big": {"model": str(other), "device": "cpu", "workers": 0, "batch_size": 8}}
    recipe = make_recipe(cache={"block": 8, "signals": signals}, teachers=teachers)
    content = yaml.safe_load(recipe.read_text())
    terms = [{"loss": "kl", "signal": "logits"}, {"loss": "kl", "signal": "big.logits"}]
    content["students"][0]["objective"] = terms
    content["train"].pop("controls")
    recipe.write_text(yaml.safe_dump(content))
    return recipe


def test_one_build_hears_both_and_students_learn_from_both(
    run: Callable[..., str], make_recipe: Callable[..., Path], other_teacher: Path, tmp_path: Path
) -> None:
    recipe = recipe_of(make_recipe, other_teacher, tmp_path)
    run("cache", "build", recipe, "--shards", "0")
    run("cache", "build", recipe)
    said = run("cache", "build", recipe)
    assert said.count("complete, 3 shards") == 2  # of the main teacher and of the other one
    cache = open_cache(tmp_path / "run" / "cache")
    names = {"logits", "embedding", "big.logits", "big.hidden.0", "big.hidden.1", "big.hidden.2"}
    assert set(cache.signals) == names and len(cache.members) == 2
    found = cache.read(np.arange(cache.rows), ["logits", "big.logits"]).signals
    assert np.abs(found["logits"] - found["big.logits"]).max() > 0.1
    teachers = [member.manifest.fingerprint["teacher"]["weights"] for member in cache.members]
    assert teachers[0] != teachers[1]
    run("train", recipe)
    run("teacher", "report", recipe)
    report = json.loads((tmp_path / "run" / "teacher-report" / "teacher.json").read_text())
    assert set(report["agreements"]) == {"big.logits"} and 0 <= report["agreements"]["big.logits"] < 1


def test_another_model_under_the_name_of_a_teacher_is_refused(
    run: Callable[..., str], make_recipe: Callable[..., Path], other_teacher: Path, small_teacher: Path, tmp_path: Path
) -> None:
    recipe = recipe_of(make_recipe, other_teacher, tmp_path)
    run("cache", "build", recipe)
    content = yaml.safe_load(recipe.read_text())
    content["teachers"]["big"]["model"] = str(small_teacher)
    recipe.write_text(yaml.safe_dump(content))
    assert "was built from something else" in run("cache", "build", recipe, code=2)


def test_names_that_mean_points_and_a_main_teacher_that_is_not_heard_are_refused(
    run: Callable[..., str], make_recipe: Callable[..., Path], other_teacher: Path
) -> None:
    teachers = {"hidden": {"model": str(other_teacher)}}
    assert "begins the names of points" in run("check", make_recipe(teachers=teachers), code=2)
    alone = make_recipe(teachers={"big": {"model": str(other_teacher)}}, cache={"signals": {"big.logits": {}}})
    assert "the main teacher is heard nowhere" in run("check", alone, code=2)


def test_check_foretells_the_signals_of_all_teachers(
    run: Callable[..., str], make_recipe: Callable[..., Path], other_teacher: Path, tmp_path: Path
) -> None:
    said = run("check", recipe_of(make_recipe, other_teacher, tmp_path))
    assert "big.logits" in said and "big.hidden.2" in said and "ready" in said
    assert "time to hear" in said and "a pass that hears nothing" in said
    assert re.search(r" -\d[\d.]* ms", said) is None and re.search(r"bytes = [\d.]+ kB", said)


def test_describe_lists_the_points_of_each_teacher_or_of_the_one_that_is_named(
    run: Callable[..., str], make_recipe: Callable[..., Path], other_teacher: Path, tmp_path: Path
) -> None:
    recipe = recipe_of(make_recipe, other_teacher, tmp_path)
    content = yaml.safe_load(recipe.read_text())
    content["teachers"]["unheard"] = {"student": "cnn"}
    recipe.write_text(yaml.safe_dump(content))
    both, end = json.JSONDecoder().raw_decode(said := run("teacher", "describe", recipe, "--json"))
    assert set(both["teachers"]) == {"big"} and both["teachers"]["big"]["points"] == both["points"]
    assert "teachers.unheard is a student that is not trained yet" in said[end:]
    one = run("teacher", "describe", recipe, "--teacher", "big")
    assert one.startswith("teacher big: ViTForImageClassification") and "big.hidden.2" in one
    assert "did you mean big?" in run("teacher", "describe", recipe, "--teacher", "bigg", code=2)
    assert "not trained yet" in run("teacher", "describe", recipe, "--teacher", "unheard", code=2)
    assert "has no names of teachers" in run("teacher", "describe", other_teacher, "--teacher", "big", code=2)


def test_verify_asks_every_teacher_about_its_own_signals_also_those_added_later(
    run: Callable[..., str], make_recipe: Callable[..., Path], other_teacher: Path, tmp_path: Path
) -> None:
    recipe = recipe_of(make_recipe, other_teacher, tmp_path)
    run("cache", "build", recipe)
    content = yaml.safe_load(recipe.read_text())
    content["cache"]["signals"] |= {"big.embedding": {}, "hidden.1": {"reduce": "cls"}}
    recipe.write_text(yaml.safe_dump(content))
    run("cache", "extend", recipe)
    cache = open_cache(tmp_path / "run" / "cache")
    assert len(cache.members) == 4
    said = run("cache", "verify", recipe, "--teacher", "6", "--seed", "0")
    assert said.count("teacher big ") == 2 and said.count("asked again for 6 rows") == 4
    with_other_rows(cache, "big.embedding")
    said = run("cache", "verify", recipe, "--teacher", "36", "--seed", "0", code=1)
    assert "wrong teacher big: signal big.embedding, sample" in said and "are not what teacher big says" in said
    assert "not what the teacher says" not in said


def with_other_rows(cache: Cache, signal: str) -> None:
    """Write the first shard of a signal's extension anew with its rows in other places: whole, and wrong."""
    member = next(one for one in cache.members if signal in one.manifest.signals)
    alone = open_cache(member.url, extensions=False)
    shard = alone.shards[0]
    index, rows = alone.reader(shard).index, np.arange(len(alone.reader(shard)))
    parts = {name: alone.reader(shard).read(name, rows) for name in alone.signals}
    retire_shard(alone.members[0], shard)
    writer = open_cache(member.url, extensions=False).writer(shard)
    writer.append({name: {part: np.roll(x, 4, axis=0) for part, x in it.items()} for name, it in parts.items()})
    writer.seal(index)
