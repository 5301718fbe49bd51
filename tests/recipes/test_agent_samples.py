"""The agent's shipped canvases and teacher are what their cards say."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from teachercache.pipeline.recipes.agent.canvas import offset, paint, read_sheet
from teachercache.pipeline.recipes.agent.examples import TOKENS, read_examples, tokenize
from teachercache.pipeline.recipes.agent.scene import ANSWERS, GRID, Scene, make_scene
from teachercache.pipeline.recipes.agent.teacher import load_agent
from teachercache.pipeline.recipes.agent.train_teacher import measure
from teachercache.pipeline.recipes.sample_shards import decoded, read_samples

ROOT = Path(__file__).resolve().parents[2] / "data/samples"
SAMPLES, TEACHER = ROOT / "agent", ROOT / "agent-teacher"
STEPS = {"left of": -1, "right of": 1, "above": -GRID, "below": GRID}


def solved(scene: Scene) -> list[int]:
    """Every cell that the instruction may mean, read by another way than it was made."""
    found = re.fullmatch(r"(?:\w+ the )?(.*?) ?(?:(left of|right of|above|below) the (.*))?", scene.instruction)
    assert found
    thing, relation, beside = found.groups()
    cells = [cell for cell, icon in enumerate(scene.icons) if icon is not None]
    if scene.kind != "question":
        cells = [cell for cell in cells if ANSWERS[scene.icons[cell] or 0] == thing]
    if relation is None:
        return cells
    anchors = [cell for cell, icon in enumerate(scene.icons) if icon is not None and ANSWERS[icon] == beside]
    return [cell for cell in cells for anchor in anchors if _beside(cell, anchor, relation)]


def _beside(cell: int, anchor: int, relation: str) -> bool:
    same_row = cell // GRID == anchor // GRID
    return cell - anchor == STEPS[relation] and (same_row or relation in ("above", "below"))


def test_an_instruction_has_one_right_answer() -> None:
    scenes = [make_scene("train", number) for number in range(300)]
    assert [scene.instruction for scene in scenes if solved(scene) != [scene.cell]] == []
    assert all(sum(icon is not None for icon in scene.icons) == 6 for scene in scenes)


def test_a_relation_cannot_be_answered_by_name_alone() -> None:
    scenes = [make_scene("train", number) for number in range(1, 90, 3)]
    assert {scene.kind for scene in scenes} == {"relation"}
    assert all(scene.icons.count(scene.answer) == 2 for scene in scenes)


@pytest.mark.parametrize("split, lot", [("train", "train"), ("seen", "held-out"), ("unseen", "held-out")])
def test_shipped_canvases_are_made_again_from_the_shipped_sheet(split: str, lot: str) -> None:
    sheet = read_sheet(SAMPLES / "icons.png")
    for (key, members), _ in zip(read_samples(SAMPLES, split), range(15), strict=False):
        scene, labels = make_scene(lot, int(key.rsplit("-", 1)[1])), json.loads(members["json"])
        np.testing.assert_array_equal(decoded(members["webp"]), paint(scene, sheet[labels["style"]]))
        assert (labels["cell"], tuple(labels["offset"]), labels["answer"]) == (scene.cell, offset(scene), scene.answer)
        assert (labels["style"] == 3) == (split == "unseen")


def test_tokens_are_those_of_the_shipped_tokenizer() -> None:
    tokenizer = AutoTokenizer.from_pretrained(SAMPLES / "tokenizer", local_files_only=True)
    for number in range(60):
        text = make_scene("train", number).instruction
        assert tokenizer(text, padding="max_length", max_length=TOKENS)["input_ids"] == tokenize(text)
    assert "39 ids" in (SAMPLES / "README.md").read_text() and len(tokenizer) == 39


def test_teacher_is_as_good_as_its_card_says() -> None:
    agent, card = load_agent(str(TEACHER)), (TEACHER / "README.md").read_text()
    for name, split in (("held out, seen styles", "seen"), ("held out, unseen style", "unseen")):
        cells = next(line for line in card.splitlines() if line.startswith(f"| {name}")).strip("|").split("|")[1:]
        found = measure(agent, read_examples(SAMPLES, split))
        assert list(found.values()) == pytest.approx([float(cell) for cell in cells], abs=0.4)
    assert f"{sum(p.numel() for p in agent.parameters()):,}" in card
