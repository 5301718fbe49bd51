"""The examples of the README and of docs/: Python runs, YAML is valid, commands and their options exist.

The Python examples run beside a small cache that stands where the demo's would, made without a teacher.
"""

import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from teachercache.cache import Manifest, RowIndex, SignalSchema, create_cache
from teachercache.cache.codecs import build_codec
from teachercache.data import ViewPolicy, open_source
from teachercache.pipeline.config import CacheConfig, Config, load_config
from teachercache.stages.cache_identity import PIXELS, cache_fingerprint, codec_parameters
from teachercache.stages.deploy.apps.moderate.rules import read_concepts

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
RECIPE = Path("pipeline/recipes/image_vit/recipe.yaml")
SAMPLES = Path("data/samples/fashion-mnist")
SHAPES = {"attention": (4, 4), "embedding": (6,), "hidden": (6,), "logits": (10,), PIXELS: (28, 28, 1)}


def fences(language: str) -> Iterator[tuple[str, str]]:
    """(page:number, text) of every fenced example in a language."""
    for page in PAGES:
        found = re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
        yield from ((f"{page.relative_to(ROOT)}:{number}", text) for number, text in enumerate(found))


def named(language: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in fences(language)])


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like a clone in which the demo's cache was built, with one training shard: real samples, ids and views,
    and zeros as signals."""
    root: Path = tmp_path_factory.mktemp("clone")
    (root / SAMPLES).mkdir(parents=True)
    for path in ("pipeline", "tests", SAMPLES / "train-0000.tar"):
        (root / path).symlink_to(ROOT / path)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        _build_cache(load_config(RECIPE))
        _save_student(load_config(RECIPE))
    return root


def _build_cache(config: Config) -> None:
    source, policy = open_source(config.source), ViewPolicy(config.views)
    kept = dict(config.cache.signals)
    schemas = {name: _schema(name, spec.codec, codec_parameters(spec)) for name, spec in kept.items()}
    if config.views.keep_pixels:
        schemas[PIXELS] = _schema(PIXELS, "u8", {})
    manifest = Manifest(
        cache_fingerprint(source, policy, config.views.keep_pixels, kept, config.cache.block),
        schemas,
        tuple(source.shards()),
        policy.count,
        config.cache.block,
        tuple(policy.parameters),
        source.classes,
    )
    cache = create_cache(config.cache_path, manifest)
    for shard in source.shards():
        opened, writer = source.open(shard), cache.writer(shard)
        rows = len(opened) * policy.count
        parts = {name: {part.name: (part.shape, part.dtype) for part in schemas[name].parts()} for name in schemas}
        writer.append({n: {p: np.zeros((rows, *s), t) for p, (s, t) in of.items()} for n, of in parts.items()})
        ids, labels = (np.repeat(np.asarray(column), policy.count) for column in (opened.ids, opened.labels))
        views = np.tile(np.arange(policy.count, dtype=np.uint16), len(opened))
        writer.seal(RowIndex(ids, views, labels, policy.draw(opened.ids)), source={"xxh3": opened.checksum()})


def _schema(name: str, codec: str, parameters: dict[str, Any]) -> SignalSchema:
    shape = SHAPES[name.split(".")[0]]
    return SignalSchema(name, codec, build_codec(codec, parameters).parameters, shape)


def _save_student(config: Config) -> None:
    from teachercache.stages.student.files.saved import save_student
    from teachercache.stages.student.models.builders import StudentShape, build_student
    from teachercache.stages.student.trial.trial import plan_trials

    trial = plan_trials([student for student in config.students if student.name == "cnn"], config.train)[0]
    folder, shape = trial.folder(config.run / "students"), StudentShape(10, 1, 28)
    folder.mkdir(parents=True)
    save_student(folder, trial, build_student(trial.student, shape, trial.outputs, 0), shape, 1, 0.0)


@named("python")
def test_a_python_example_runs(text: str, clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clone)
    exec(compile(text, "example", "exec"), {"__name__": "example"})


def test_reading_a_cache_as_the_readme_says_imports_no_torch(clone: Path) -> None:
    texts = [text for name, text in fences("python") if name.startswith("README.md") and "cache.signals" in text]
    joined = [text for name, text in fences("python") if name.startswith("README.md") and "join.views" in text]
    code = "\n".join([*texts, *joined, "import sys; print('torch' in sys.modules)"])
    done = subprocess.run([sys.executable, "-c", code], cwd=clone, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1:] == ["False"], done.stderr


def test_the_examples_of_reading_say_the_shapes_that_come(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clone)
    names: dict[str, Any] = {}
    for name, text in fences("python"):
        if name.startswith("README.md") and "cache." in text:
            exec(text.replace("    pixels =", "    break\npixels ="), names)
    batch = names["batch"]
    assert batch.signals["logits"].shape == (256, 10) and batch.signals["logits"].dtype == np.float32
    assert batch.views.shape == batch.labels.shape == batch.ids.shape == (256,)
    assert names["pixels"].shape == (256, 28, 28, 1) and names["pixels"].dtype == np.uint8


def test_the_example_student_trains_as_its_yaml_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Built by name from the YAML beside it; its objective meets the signals it names."""
    from teachercache.stages.student.models.builders import StudentShape, build_student, output_shapes
    from teachercache.stages.student.objective.objective import build_objective
    from teachercache.stages.student.trial.trial import Trial

    (code,) = [text for _, text in fences("python") if text.startswith("# my_students.py")]
    (settings,) = [yaml.safe_load(text) for _, text in fences("yaml") if "my_students:TinyNet" in text]
    (tmp_path / "my_students.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    (spec,) = Config.model_validate(whole(settings)).students
    trial, shape = Trial(spec, "distilled", 0), StudentShape(10, 3, 32)
    student = build_student(spec, shape, trial.outputs, 0)
    signals = {
        name: SignalSchema(name, "f16", {}, size) for name, size in {"logits": (10,), "embedding": (64,)}.items()
    }
    objective = build_objective(trial, output_shapes(student, spec, shape), signals, 10)
    assert len(objective.terms) == len(spec.objective)


def whole(settings: dict[str, Any]) -> dict[str, Any]:
    """An example of a few sections, made a whole configuration by the sections of the recipe."""
    return {**yaml.safe_load((ROOT / RECIPE).read_text("utf-8")), **settings}


@named("yaml")
def test_a_yaml_example_is_valid(text: str, tmp_path: Path) -> None:
    content = yaml.safe_load(text)
    if text.startswith("# concepts.yaml"):
        (tmp_path / "concepts.yaml").write_text(text)
        assert [concept.name for concept in read_concepts(tmp_path / "concepts.yaml")] == list(content)
    elif "private:" in text:  # a client builds a cache and trains nobody
        client = {key: it for key, it in whole(content).items() if key not in ("train", "students", "evaluate")}
        assert CacheConfig.model_validate(client).cache.private
    elif "apiVersion" not in content:  # a job for Kubernetes is none of ours
        Config.model_validate(whole(content))


def test_the_smallest_file_is_whole_by_itself() -> None:
    text, *_ = [text for name, text in fences("yaml") if name.startswith("docs/configuration.md")]
    Config.model_validate(yaml.safe_load(text))


def test_the_example_of_an_error_is_what_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = whole({})
    settings["train"]["step"] = settings["train"]["steps"]
    Path("recipe.yaml").write_text(yaml.safe_dump(settings))
    said = (ROOT / "docs" / "configuration.md").read_text("utf-8").split("```text\n")[1].split("\n")[0]
    with pytest.raises(Exception, match=re.escape(said)):
        load_config(Path("recipe.yaml"))


def command_lines() -> list[str]:
    """Every command of a fenced example, and every one in a table or sentence that is a whole code span."""
    lines = [line.split("  #")[0].strip() for _, text in fences("sh") for line in text.splitlines()]
    lines = [re.sub(r"^torchrun .*? -m (?=teachercache )", "", line) for line in lines]
    for page in PAGES:
        prose = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
        lines += re.findall(r"`((?:make|teachercache) [^`]+)`", prose)
    return sorted({line for line in lines if line})


COMMANDS = command_lines()
VERBS = [shlex.split(line)[1:] for line in COMMANDS if line.startswith("teachercache ")]
TARGETS = [shlex.split(line)[1:] for line in COMMANDS if line.startswith("make ")]


def test_every_example_of_a_command_is_of_a_kind_that_is_checked() -> None:
    known = re.compile(
        r"(make|teachercache|PYTHONPATH=\. teachercache|pip install|\. \.venv/bin/activate|python -c|curl .*localhost)"
    )
    assert [line for line in COMMANDS if not known.match(line)] == []


@pytest.mark.parametrize("words", TARGETS, ids=" ".join)
def test_a_target_that_is_named_is_in_the_makefile(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    variables = set(re.findall(r"^([A-Z]+) \?=", makefile, re.MULTILINE))
    assert words[0] in targets
    assert {word.split("=")[0] for word in words[1:]} <= variables


def test_the_example_of_another_zarr_client_runs() -> None:
    (line,) = [line for line in COMMANDS if line.startswith("python -c")]
    command = [sys.executable, *shlex.split(line)[1:]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert "attention.0" in done.stdout, done.stderr


@pytest.fixture(scope="module")
def runner() -> CliRunner:
    return CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})


def help_of(runner: CliRunner, *words: str) -> str:
    from teachercache.pipeline.cli import app

    result = runner.invoke(app, [*words, "--help"])
    assert result.exit_code == 0, result.output
    return result.output


def groups() -> dict[str, Any]:
    from teachercache.pipeline.cli import STUDENT_COMMANDS, TEACHER_COMMANDS
    from teachercache.pipeline.commands import cache, moderate, search

    own = {"cache": cache.COMMANDS, "moderate": moderate.COMMANDS, "search": search.COMMANDS}
    return {**own, "student": STUDENT_COMMANDS, "teacher": TEACHER_COMMANDS}


def all_verbs() -> list[list[str]]:
    from teachercache.pipeline.cli import COMMANDS

    return [[name] for name in COMMANDS] + [[group, name] for group, found in groups().items() for name in found]


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_a_command_that_is_named_exists_with_its_options(words: list[str], runner: CliRunner) -> None:
    verb = words[: 2 if words[0] in groups() else 1]
    assert verb in [*all_verbs(), *([group] for group in groups())]
    text = help_of(runner, *verb)
    assert [word for word in words if word.startswith("--") and word not in text] == []


def test_the_readme_has_every_command_and_each_has_help_with_an_example(runner: CliRunner) -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    for verb in all_verbs():
        rows = re.findall(rf"^\| `teachercache {' '.join(verb[:-1])}.*", readme, re.MULTILINE)  # one may name several
        assert any(re.search(rf"[` ]{verb[-1]}[` ]", row.split("|")[1]) for row in rows), verb
        assert f"Example: teachercache {' '.join(verb)} " in help_of(runner, *verb)


def test_the_module_is_the_command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["teachercache", "--help"])
    with pytest.raises(SystemExit) as left:
        runpy.run_module("teachercache", run_name="__main__")
    assert left.value.code == 0 and "students" in capsys.readouterr().out


def test_the_table_of_sizes_is_what_rows_take() -> None:
    """Bytes of a row as the README states them, against the codecs."""
    readme = (ROOT / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| [^|]+ \| ([\d x]+) \| (\w+)(?: k=(\d+))? \| ([\d,]+) \|$", readme, re.MULTILINE)
    assert len(rows) >= 9
    for shape, codec, k, size in rows:
        parameters = {"k": int(k), **({"entropy": True} if codec == "topk" else {})} if k else {}
        schema = SignalSchema("x", codec, parameters, tuple(int(side) for side in shape.split(" x ")))
        assert schema.row_bytes() == int(size.replace(",", "")), (shape, codec)


def test_exit_codes_are_those_of_the_readme() -> None:
    from teachercache.cache.errors import CacheError, CacheWriteError, DamagedCacheError
    from teachercache.data import DataError
    from teachercache.pipeline.errors import ConfigError
    from teachercache.stages.errors import Interrupted, StageError, StageFailed

    readme = (ROOT / "README.md").read_text("utf-8")
    assert re.findall(r"^\| (\d+) \| (\w+)", readme, re.MULTILINE) == [
        ("0", "done"),
        ("1", "failed"),
        ("2", "bad"),
        ("75", "interrupted"),
    ]
    assert {error.exit_code for error in (CacheError, DataError, ConfigError, StageError)} == {2}
    assert {error.exit_code for error in (StageFailed, CacheWriteError, DamagedCacheError)} == {1}
    assert Interrupted.exit_code == 75
