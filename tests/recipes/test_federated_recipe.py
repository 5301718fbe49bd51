"""The recipe `federated`: clients share no image, their labels stay with them, and a short run of it all reports."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from teachercache.pipeline.config import load_config
from teachercache.pipeline.recipes.federated import prepare as federation
from teachercache.pipeline.recipes.federated.clients import CLIENTS, share_out

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "pipeline/recipes/federated/recipe.yaml"


def test_clients_have_unlike_classes_and_share_no_image() -> None:
    labels = np.arange(900) % 10
    parts = share_out(labels)
    assert sorted(np.concatenate(parts).tolist()) == list(range(900)) and len(parts) == CLIENTS
    counts = np.stack([np.bincount(labels[part], minlength=10) for part in parts])
    assert (counts == 0).any(axis=1).sum() >= 2 and (counts.sum(axis=1) > 50).all()


def test_students_differ_in_whom_they_hear_alone() -> None:
    config = load_config(RECIPE)
    assert config.cache.given and config.teacher.args == {"folder": "runs/federated/union/teacher"}
    assert len({(str(one.use), str(one.args), str(one.takes)) for one in config.students}) == 1
    heard = {one.name: [term.signal for term in one.terms if term.signal] for one in config.students}
    assert all(found == [f"{name}.logits"] for name, found in heard.items() if name not in ("labels", "shuffled"))
    assert heard["shuffled"] == ["server.logits"]


def test_the_public_part_has_few_labels_and_no_image_of_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    public, private = federation.split()
    assert not {one["__key__"] for one in public} & {one["__key__"] for one in private}
    assert sum("cls" in one for one in public) == 100 and len(private) == 900 and len(public) == 2460


@pytest.mark.slow  # five teachers, eight caches, and the students' first steps
def test_the_whole_recipe_runs_to_a_report(
    run: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)
    content = yaml.safe_load(RECIPE.read_text())
    content["train"] |= {"steps": 10, "seeds": [0]}
    content["views"] = {**content["views"], "count": 1, "operations": []}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.setattr(federation, "RECIPE", tmp_path / "recipe.yaml")
    federation.prepare()
    federation.prepare()  # does nothing twice
    said = run("run", tmp_path / "recipe.yaml")
    assert "given, and complete" in said
    report = json.loads((tmp_path / "runs/federated/report.json").read_text())
    assert [rung["student"] for rung in report["ladder"]["rungs"]] == ["labels", "mean", "server", "union"]
    clients = json.loads((tmp_path / "runs/federated/clients.json").read_text())
    assert set(clients) == {*federation.NAMES, "union"} and clients["union"]["images"] == [90] * 10
