"""The configuration: what is wrong is named by file and dotted path, with the nearest valid word."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from teachercache.pipeline.config import load_config
from teachercache.pipeline.errors import ConfigError
from teachercache.pipeline.reading.yaml_text import parse_yaml

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
        (("teacher", "batch_size"), -1, "teacher.batch_size: give a whole number above 0, or auto, not -1"),
        (("train", "steps"), "many", "train.steps: Input should be a valid integer"),
        (
            ("cache", "signals", "logits", "codec"),
            "f17",
            "cache.signals.logits.codec: not 'f17'; did you mean f16? Input",
        ),
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
        (
            ("train", "controls"),
            ["shuffled"],
            "train.controls.0: not 'shuffled'; did you mean shuffled-cache? "
            "Input should be 'labels-only', 'shuffled-cache' or 'random-selection'",
        ),
        (("cache", "signals", "logits", "codec"), "int-8", "codec: not 'int-8'; did you mean int8?"),
        (
            ("views", "operations", 0, "op"),
            "flop",
            "views.operations.0.op: not 'flop'; did you mean flip? Input should be one of crop, flip, jitter, "
            "randaugment, erasing, caption, mixup, cutmix, token_dropout",
        ),
        (
            ("views", "keep_pixels"),
            "yes please",
            "views.keep_pixels: Input should be true or false, not 'yes please'",
        ),
        (("students", 0, "objective", 1, "loss"), "kll", "1.loss: not 'kll'; did you mean kl? Input should be '"),
        (("students", 0, "objective", 1, "loss"), "zzzz", "'clip_affinity', not 'zzzz'"),
        (("evaluate",), {}, "evaluate: give either source (one held-out set) or sets (several by name), and not both"),
        (("evaluate", "metrics"), [{"k": [1]}], "evaluate.metrics.0.metric: this is required and missing"),
        (("evaluate", "metrics"), [{"metric": "retrival"}], "metric: not 'retrival'; did you mean retrieval? "),
        (("evaluate", "metrics"), [{"metric": "auc", "outptu": "x"}], "0.outptu: unknown key; did you mean output?"),
        (("evaluate", "ladder"), ["nobody"], "evaluate.ladder: no student is named 'nobody'"),
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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb:\n  c: 1\n  d: 2\n  'c': 3\n", "line 5: the key 'c' is in line 3 already"),
        ("a: {b: 1, b: 1}", "line 1: the key 'b' is in line 1 already"),
        ("a: 1\nb: [1\nc: 2\n", 'a.yaml", line 3, column 2:\n    c: 2\n     ^'),
        ("a: 1\nbc\a: 2", "line 2, column 3 has the character"),
    ],
)
def test_a_slip_in_the_yaml_is_shown_where_it_is(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "a.yaml")
    assert said in str(caught.value) and "unicode string" not in str(caught.value)


def test_a_merged_mapping_may_set_a_key_again() -> None:
    assert parse_yaml("a: &x {b: 1, c: 1}\nd: {<<: *x, c: 2}", "a.yaml")["d"] == {"b": 1, "c": 2}


@pytest.mark.parametrize(("section", "field"), [((), "output"), (("cache",), "path")])
@pytest.mark.parametrize("below", ["", "run", "run/of/today"])
def test_a_file_where_a_folder_must_be_is_refused_naming_the_field(
    tmp_path: Path, section: tuple[str, ...], field: str, below: str
) -> None:
    file = changed(tmp_path, *section, field, value=str(tmp_path / "recipe.yaml" / below))
    with pytest.raises(ConfigError, match=rf"recipe.yaml: {'.'.join((*section, field))}: .*recipe.yaml is a file"):
        load_config(file)


def test_check_refuses_an_output_that_is_a_file(run: Callable[..., str], tmp_path: Path) -> None:
    file = changed(tmp_path, "output", value=str(tmp_path / "recipe.yaml"))
    for words in (("check",), ("cache", "build"), ("train",), ("evaluate",), ("report",), ("run",)):
        assert "output: " in run(*words, file, code=2)
