"""A client's private cache by the command line: epsilon is said, and a server's file trains from the rows."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

PRIVATE = {"clip": 10.0, "noise": 2.0, "delta": 1e-5}
SAID = "private: logits clipped to 10 with noise 2; 36 rows: epsilon"


@pytest.fixture
def client(make_recipe: Callable[..., Path], tmp_path: Path) -> Path:
    """A client's file: a cache alone, of private logits."""
    content = yaml.safe_load(make_recipe().read_text())
    alone = {key: it for key, it in content.items() if key not in ("train", "students", "evaluate")}
    alone["cache"] = {"block": 8, "signals": {"logits": {"codec": "f32", "private": PRIVATE}}}
    alone["output"] = str(tmp_path / "client")
    (tmp_path / "client.yaml").write_text(yaml.safe_dump(alone))
    return tmp_path / "client.yaml"


def test_epsilon_is_said_by_check_build_and_inspect_and_a_student_trains(
    run: Callable[..., str], client: Path, make_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    pytest.importorskip("dp_accounting", reason="the extra `privacy` is not installed")
    assert SAID in run("check", client) and not (tmp_path / "client").exists()
    assert SAID in run("cache", "build", client)
    assert "complete" in run("cache", "build", client)
    assert SAID in run("cache", "inspect", tmp_path / "client/cache")
    given = {"path": str(tmp_path / "client/cache"), "given": True, "block": 8, "signals": {"logits": {"codec": "f32"}}}
    recipe = make_recipe(cache=given)
    content = yaml.safe_load(recipe.read_text())
    content["train"] |= {"seeds": [0], "controls": [], "steps": 2}
    content["students"][0]["objective"] = [{"loss": "cross_entropy"}, {"loss": "kl", "signal": "logits"}]
    recipe.write_text(yaml.safe_dump(content))
    assert "given, and complete" in run("cache", "build", recipe)
    run("train", recipe)
    assert list((tmp_path / "run").rglob("*.safetensors"))


def test_a_file_with_students_or_a_given_cache_takes_no_noise(
    run: Callable[..., str], make_recipe: Callable[..., Path]
) -> None:
    signals = {"logits": {"private": PRIVATE}}
    assert "held-out caches have no noise" in run("check", make_recipe(cache={"signals": signals}), code=2)
    given = make_recipe(cache={"signals": signals, "given": True})
    assert "this cache is there, and has its noise" in run("check", given, code=2)
