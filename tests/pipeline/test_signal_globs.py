"""Globs of a configuration, from the teacher's points to the signals of its cache."""

from collections.abc import Callable
from pathlib import Path

import yaml

from teachercache.cache import open_cache
from teachercache.pipeline.config import load_config


def test_cache_has_one_signal_for_every_point_that_a_glob_matches(
    run: Callable[..., str], make_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    signals = {"logits": {}, "embedding": {"codec": "int8"}, "hidden.*": {"reduce": "cls"}, "attention.{0,1}": {}}
    recipe = make_recipe(cache={"block": 8, "signals": signals})
    run("cache", "build", recipe)
    cache = open_cache(tmp_path / "run" / "cache")
    heard = {"logits", "embedding", "hidden.0", "hidden.1", "hidden.2", "attention.0", "attention.1"}
    assert set(cache.signals) == heard
    assert cache.manifest.signals["hidden.2"].reduce == "cls"
    content = yaml.safe_load(recipe.read_text())
    content["teacher"]["model"] = str(tmp_path / "elsewhere")
    recipe.write_text(yaml.safe_dump(content))
    assert set(load_config(recipe).cache.signals) == set(cache.signals)


def test_glob_that_matches_nothing_names_the_nearest_points(
    run: Callable[..., str], make_recipe: Callable[..., Path]
) -> None:
    said = run("check", make_recipe(cache={"block": 8, "signals": {"logits": {}, "hiddn.*": {}}}), code=2)
    assert "cache.signals.hiddn.*: no point of the teacher matches" in said and "hidden.0" in said
