"""Thresholds keep the stated rate of false positives, belong to one file, and every verdict has its reason."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from asked_models import save_clip

from teachercache.data import SourceSpec, open_source
from teachercache.stages.deploy.apps.moderate.concept import fit_threshold
from teachercache.stages.deploy.apps.moderate.rules import read_concepts, read_rules, write_rules
from teachercache.stages.deploy.apps.moderate.sorting import fit_rules, measured, sort_pictures
from teachercache.stages.deploy.evaluation.candidate import read_candidate
from teachercache.stages.deploy.export.export import Asked, export_student
from teachercache.stages.deploy.export.facts import Facts
from teachercache.stages.deploy.export.probes import probe_inputs
from teachercache.stages.deploy.export.rows import RealRows
from teachercache.stages.deploy.quantise.export_int8 import Int8, export_int8
from teachercache.stages.errors import StageError
from teachercache.stages.student.inputs.shape import InputShape

EMOJI = Path(__file__).resolve().parents[2] / "data" / "samples" / "emoji" / "seen-0000.tar"
FOOD = 3
CONCEPTS = """
food:
  texts: [a picture of food, fruit, drink]
  others: [a picture of an object, animal, face]
"""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shipped pictures in two folders by turns: `fit` and `judge`, each with food and other."""
    folder = tmp_path_factory.mktemp("examples")
    source = open_source(SourceSpec(path=str(EMOJI)))
    for number, sample in enumerate(source.read(source.shards()[0])):
        label = "food" if sample.label == FOOD else "other"
        path = folder / ("fit" if number % 2 else "judge") / label / f"{number}.webp"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sample.image)
    return folder


def test_a_threshold_is_the_lowest_that_keeps_the_rate() -> None:
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.normal(size=1000), rng.normal(2, 1, size=100)])
    positive = np.arange(1100) >= 1000
    for rate in (0.01, 0.05, 0.2):
        found = fit_threshold("x", scores, positive, rate, 3)
        assert found.false_positives == int(rate * 1000)
        assert found.review <= found.flag
        assert (scores[~positive] >= found.review).mean() == pytest.approx(min(1.0, 3 * rate))
        assert found.verdict(found.flag) == "flag" and found.verdict(found.review - 1) == "pass"
    ties = np.array([0.5] * 50 + [0.1] * 50 + [0.9])
    assert fit_threshold("ties", ties, np.arange(101) == 100, 0.1, 2).false_positives == 0
    with pytest.raises(StageError, match="needs 1 and 100 at least"):
        fit_threshold("few", scores[:50], np.arange(50) < 5, 0.01, 2)


def test_food_is_found_at_the_stated_rate(clip: Path, examples: Path, tmp_path: Path) -> None:
    (tmp_path / "concepts.yaml").write_text(CONCEPTS)
    rules = fit_rules(clip, read_concepts(tmp_path / "concepts.yaml"), examples / "fit", rate=0.1)
    fitted = rules.fitted["food"]
    assert fitted.false_positives / fitted.negatives <= 0.1 < fitted.recall
    write_rules(tmp_path / "rules.json", rules)
    again = read_rules(tmp_path / "rules.json", clip)
    assert again == rules
    found = list(sort_pictures(clip, again, [examples / "judge"]))
    figures = measured(again, found, examples / "judge")["food"]
    flagged = [one.path.parent.name for one in found if one.verdict == "flag"]
    assert figures["positives"] + figures["negatives"] == len(found) == 150
    assert figures["recall"] * figures["positives"] == pytest.approx(flagged.count("food"))
    assert figures["false_positive_rate"] * figures["negatives"] == pytest.approx(flagged.count("other"))
    assert figures["precision"] == pytest.approx(flagged.count("food") / len(flagged))
    for one in found:
        assert (one.verdict == "pass") == (not one.reasons)
        assert all(why.score >= why.review for why in one.reasons)


def test_rules_of_another_file_are_refused(clip: Path, examples: Path, tmp_path: Path) -> None:
    (tmp_path / "concepts.yaml").write_text(CONCEPTS)
    rules = fit_rules(clip, read_concepts(tmp_path / "concepts.yaml"), examples / "fit", rate=0.1)
    write_rules(tmp_path / "rules.json", rules)
    other = save_clip(tmp_path / "other")
    weights = (other / "student.safetensors").read_bytes()
    (other / "student.safetensors").write_bytes(weights[:-4] + b"\0\0\0\0")
    with pytest.raises(StageError, match="gives other scores: fit its own thresholds"):
        read_rules(tmp_path / "rules.json", other)


def test_concepts_without_what_they_are_not_are_refused(tmp_path: Path) -> None:
    (tmp_path / "concepts.yaml").write_text("gun: {texts: [a gun]}")
    with pytest.raises(StageError, match="write name: {texts"):
        read_concepts(tmp_path / "concepts.yaml")


def test_moderation_from_the_command_line(run: Callable[..., str], clip: Path, examples: Path, tmp_path: Path) -> None:
    (tmp_path / "concepts.yaml").write_text(CONCEPTS)
    rules, report = tmp_path / "rules.json", tmp_path / "report.json"
    settings = ("--model", clip, "--into", rules, "--rate", "0.1")
    assert "wrote" in run("moderate", "fit", tmp_path / "concepts.yaml", examples / "fit", *settings)
    broken = examples / "judge" / "other" / "broken.png"
    broken.write_bytes(b"no picture")
    run("moderate", "sort", rules, examples / "judge", "--model", clip, "--labelled", "--report", report)
    content = json.loads(report.read_text())
    assert 0 <= content["figures"]["food"]["precision"] <= 1
    (bad,) = [one for one in content["pictures"] if one["error"]]
    assert bad["verdict"] == "review" and "broken.png: its 10 bytes are none of PNG" in bad["error"]
    broken.unlink()


@pytest.mark.slow
def test_thresholds_are_fitted_anew_for_an_int8_file(clip: Path, examples: Path, tmp_path: Path) -> None:
    """Each file's own scores keep the rate; the rules of the one are refused for the other."""
    pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    candidate, shapes = read_candidate(clip), read_candidate(clip).saved.shape.inputs
    given = probe_inputs({"pixel_values": InputShape("image", (3, 32, 32), "float32"), **shapes}, 32, 0, fixed=True)
    rows = RealRows({name: values.numpy() for name, values in given.items()}, np.full(32, -1))
    export_student(candidate, Asked("onnx", tmp_path / "float"), Facts())
    export_int8(candidate, Asked("onnx", tmp_path / "int8"), Facts(), Int8(rows, least_agreement=0.0))
    (tmp_path / "concepts.yaml").write_text(CONCEPTS)
    concepts, fitted = read_concepts(tmp_path / "concepts.yaml"), {}
    for name in ("float", "int8"):
        rules = fit_rules(tmp_path / name, concepts, examples / "fit", rate=0.1)
        write_rules(tmp_path / f"{name}.json", rules)
        assert read_rules(tmp_path / f"{name}.json", tmp_path / name) == rules
        fitted[name] = rules.fitted["food"]
        found = list(sort_pictures(tmp_path / name, rules, [examples / "fit"]))
        flagged = [one.path.parent.name for one in found if one.verdict == "flag"]
        assert flagged.count("other") == fitted[name].false_positives <= 0.1 * fitted[name].negatives
    assert fitted["float"].flag != fitted["int8"].flag
    with pytest.raises(StageError, match="gives other scores: fit its own thresholds"):
        read_rules(tmp_path / "float.json", tmp_path / "int8")
