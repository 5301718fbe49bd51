"""The configuration: what is wrong is named by file and dotted path, with the nearest valid word."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from teachercache.pipeline.config import load_config
from teachercache.pipeline.errors import ConfigError

RECIPE = Path(__file__).parents[2] / "pipeline" / "recipes" / "image_vit" / "recipe.yaml"
STARTER = Path(__file__).parents[2] / "pipeline" / "commands" / "starter.yaml"


def changed(tmp_path: Path, *path: Any, value: Any) -> Path:
    """The recipe with one value set."""
    content = yaml.safe_load(RECIPE.read_text())
    here = content
    for part in path[:-1]:
        here = here[part]
    here[path[-1]] = value
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


@pytest.mark.parametrize("file", [RECIPE, STARTER])
def test_shipped_files_are_valid(file: Path) -> None:
    assert load_config(file).students


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("source", "pth"), "x", "source.pth: unknown key; did you mean path?"),
        (("views", "operations", 0, "scal"), [0, 1], "views.operations.0.scal: unknown key; did you mean scale?"),
        (("teacher", "batch_size"), -1, "teacher.batch_size: Input should be greater than 0, not -1"),
        (("train", "steps"), "many", "train.steps: Input should be a valid integer"),
        (("cache", "signals", "logits", "codec"), "f17", "cache.signals.logits.codec: Input should be"),
        (
            ("cache", "signals", "logits", "keep"),
            "int8",
            "cache.signals.logits: codec f16 takes no keep, only head",
        ),
        (("cache", "signals", "logits", "kk"), 3, "cache.signals.logits.kk: unknown key; did you mean k?"),
        (
            ("students", 0, "objective", 1, "wieght"),
            1,
            "students.0.objective.1.wieght: unknown key; did you mean weight?",
        ),
        (("students", 1, "name"), "cnn", "two students are named cnn"),
        (("train", "controls"), ["shuffled"], "train.controls.0: Input should be 'labels-only' or 'shuffled-cache'"),
        (("evaluate",), {}, "evaluate.source: this is required and missing"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, path: tuple[Any, ...], value: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(changed(tmp_path, *path, value=value))
    assert str(caught.value).count("\n") == 0, caught.value
    assert said in str(caught.value) and "recipe.yaml: " in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1", "is not YAML"),
        ("", "holds no settings"),
        ("- 1", "holds no settings"),
        ("!!python/object:os.x {}", "is not YAML"),
    ],
)
def test_a_file_that_is_no_configuration_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_config(tmp_path / "a.yaml")
    with pytest.raises(ConfigError, match="teachercache init"):
        load_config(tmp_path / "none.yaml")
