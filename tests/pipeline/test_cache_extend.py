"""`cache extend` from the command line: one cache, asked for more and more, and students that do not notice."""

import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from teachercache.cache import open_cache

MakeRecipe = Callable[..., Path]
Run = Callable[..., str]
SAMPLES = Path(__file__).parents[2] / "data/samples/fashion-mnist"
HINT = {
    "loss": "cosine",
    "output": "embedding",
    "signal": "hidden.1",
    "projector": "linear",
}


def change(recipe: Path, **sections: dict[str, Any]) -> None:
    """Change settings of a recipe in place."""
    content = yaml.safe_load(recipe.read_text())
    for name, section in sections.items():
        content[name] = {**content[name], **section} if isinstance(section, dict) else section
    recipe.write_text(yaml.safe_dump(content))


def few_more(path: Path) -> None:
    """Six shipped samples that the recipe does not hold out yet."""
    with tarfile.open(SAMPLES / "test-0001.tar") as tar, tarfile.open(path, "w") as new:
        members = tar.getmembers()
        keys = [member.name.split(".")[0] for member in members if member.name.endswith(".cls")][:6]
        for member in members:
            if member.name.split(".")[0] in keys:
                new.addfile(member, tar.extractfile(member))


def stamps(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_cache_grows_and_its_students_stay(run: Run, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe = make_recipe(train={"steps": 3, "batch_size": 8, "seeds": [0], "device": "cpu", "log_every": 1})
    aside = tmp_path / "train-2.tar"
    shutil.move(tmp_path / "data/train-2.tar", aside)
    said = run("cache", "extend", recipe, code=2)
    assert "is no cache" in said and "cache build" in said
    run("cache", "build", recipe)
    run("train", recipe)
    assert "holds all that the configuration asks for" in run("cache", "extend", recipe)

    change(
        recipe,
        cache={
            "signals": {"logits": {}, "embedding": {"codec": "int8"}, "attention.1": {}, "hidden.1": {"reduce": "mean"}}
        },
    )
    for verb in (("cache", "build"), ("train",), ("run",)):
        said = run(*verb, recipe, code=2)
        assert "It lacks hidden.1: views 0 to 1 of 2 shards, from train-0 on" in said and "cache extend" in said
    assert "It lacks hidden.1" in (said := run("check", recipe)) and "ready" in said
    cache = tmp_path / "run/cache"
    before = stamps(cache)
    said = run("cache", "extend", recipe, "--dry-run")
    assert "001-" in said and "hidden.1" in said and " 24 " in said and "768 B" in said
    assert stamps(cache) == before
    run("cache", "extend", recipe)
    assert before.items() <= stamps(cache).items()
    # the student that reads other signals is finished already, and stays so
    assert "trained 1 of 1 trial in" in run("train", recipe)

    shutil.move(aside, tmp_path / "data/train-2.tar")
    change(recipe, views={"count": 3})
    said = run("cache", "extend", recipe)
    assert "2: train-0 to train-1" in said and "train-2" in said and "12 rows in" in said and "18 rows in" in said
    grown = open_cache(cache)
    grown.require_complete(["logits", "embedding", "attention.1", "hidden.1"])
    assert grown.rows == 54 and len(grown.members) == 4
    assert "complete, 2 shards" in run("cache", "build", recipe)
    # what a student is trained from has changed, so another folder is asked for
    assert "cache.views.count was 2 and is now 3" in run("train", recipe, code=2)
    change(recipe, output=str(tmp_path / "second"), cache={"path": str(cache)})
    students = yaml.safe_load(recipe.read_text())["students"]
    students.append({**students[0], "name": "other", "objective": [{"loss": "kl", "signal": "logits"}, HINT]})
    change(recipe, students=students)
    assert "trained 2 of 2 trials" in run("train", recipe)
    assert "54 rows (18 samples x 3 views), 3 shards, 0 missing" in run("cache", "inspect", recipe)
    run("cache", "verify", recipe)
    assert "evaluated 2 students" in run("evaluate", recipe)


def test_what_was_begun_and_is_not_finished_is_told_and_finished_in_order(
    run: Run, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe = make_recipe()
    run("cache", "build", recipe)
    signals = {"logits": {}, "embedding": {"codec": "int8"}, "attention.1": {}}
    change(recipe, cache={"signals": {**signals, "hidden.1": {"reduce": "mean"}}})
    run("cache", "extend", recipe)
    cache = tmp_path / "run/cache"
    for receipts in (cache, next(cache.glob("extensions/001-*/"))):  # as builders leave them that were killed
        (receipts / "receipts/train-1.json").unlink()
        (receipts / "receipts/table.json").unlink(missing_ok=True)
    change(recipe, cache={"signals": {**signals, "hidden.1": {"reduce": "mean"}, "hidden.2": {"reduce": "mean"}}})
    said = run("cache", "extend", recipe, "--dry-run")
    assert said.index("(base) │ train-1") < said.index("001-") < said.index("002-")
    assert said.count("holds all") == 1  # the held-out cache
    said = run("cache", "extend", recipe)
    assert said.index("1 shard, 12 rows in") < said.index("3 shards, 36 rows in")
    assert run("cache", "extend", recipe, "--dry-run").count("holds all that the configuration asks for") == 2
    assert open_cache(cache).rows == 36


def test_new_shards_of_the_held_out_samples_extend_their_cache(
    run: Run, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe = make_recipe()
    run("cache", "build", recipe)
    held_out = tmp_path / "run/cache-held-out"
    assert open_cache(held_out).shards == ("test-0",)
    few_more(tmp_path / "data/test-1.tar")
    assert "cache-held-out holds less than the configuration asks for" in run("cache", "build", recipe, code=2)
    run("cache", "extend", recipe)
    assert open_cache(held_out).shards == ("test-0", "test-1") and open_cache(held_out).rows == 18
    run("cache", "build", recipe)


def test_a_second_teacher_in_a_configuration_of_its_own(
    run: Run, make_recipe: MakeRecipe, tmp_path: Path, small_teacher: Path
) -> None:
    from transformers import ViTConfig, ViTForImageClassification

    recipe = make_recipe()
    run("cache", "build", recipe)
    torch.manual_seed(7)
    ViTForImageClassification(ViTConfig.from_pretrained(small_teacher)).save_pretrained(tmp_path / "second")
    shutil.copy(small_teacher / "preprocessor_config.json", tmp_path / "second")
    content = yaml.safe_load(recipe.read_text())
    second = tmp_path / "second.yaml"
    content["teacher"]["model"] = str(tmp_path / "second")
    content["cache"]["signals"] = {"second.logits": {"point": "logits"}}
    content["students"][0]["objective"] = [{"loss": "kl", "signal": "second.logits"}]
    second.write_text(yaml.safe_dump(content))
    assert "the held-out cache was built from something else and is left as it is" in run("cache", "extend", second)
    cache = open_cache(tmp_path / "run/cache")
    one, other = (cache.encoded(name, np.arange(36))["values"] for name in ("logits", "second.logits"))
    assert one.shape == other.shape and not np.allclose(one, other, atol=0.01)
    # the first configuration trains from both
    both = yaml.safe_load(recipe.read_text())
    both["students"][0]["objective"].append({"loss": "kl", "signal": "second.logits", "weight": 0.5})
    recipe.write_text(yaml.safe_dump(both))
    assert "ready" in run("check", recipe)
    assert "trained 6 of 6 trials" in run("train", recipe)
    assert "complete, 3 shards" in run("cache", "build", recipe)
