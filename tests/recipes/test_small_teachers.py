"""The shipped teachers of text, sequences, volumes and emoji are as good as their cards say."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import binary_auroc
from transformers import AutoTokenizer, BertForSequenceClassification, CLIPModel

from teachercache.pipeline.recipes.classifier_training import all_logits
from teachercache.pipeline.recipes.clip_small.retrieval import measure
from teachercache.pipeline.recipes.clip_small.train_teacher import contrast, read_pairs
from teachercache.pipeline.recipes.sample_shards import read_samples
from teachercache.pipeline.recipes.sequence import teacher as sequence
from teachercache.pipeline.recipes.text.make_samples import make_samples, split_glosses
from teachercache.pipeline.recipes.text.train_teacher import accuracy, read_test
from teachercache.pipeline.recipes.volume import teacher as volume
from teachercache.pipeline.recipes.volume.make_samples import random_angles, solids
from teachercache.pipeline.recipes.volume.train_teacher import read_solids

ROOT = Path(__file__).resolve().parents[2] / "data/samples"


def stated(teacher: str, pattern: str) -> float:
    found = re.search(pattern, (ROOT / teacher / "README.md").read_text())
    assert found, pattern
    return float(found.group(1))


def test_text_teacher() -> None:
    folder = ROOT / "glosses-bert"
    model = BertForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    found = accuracy(model, AutoTokenizer.from_pretrained(folder), read_test(ROOT / "glosses"))
    assert found == pytest.approx(stated("glosses-bert", r"([\d.]+) % on the shipped test shards"), abs=0.3)


def test_sequence_teacher() -> None:
    found = [members for _, members in read_samples(ROOT / "weather", "test")]
    windows = torch.from_numpy(np.stack([np.load(io.BytesIO(members["npy"])) for members in found])).float()
    rain = torch.tensor([int(members["cls"]) for members in found])
    said = all_logits(sequence.load_teacher(str(ROOT / "weather-transformer")), windows)
    auc = 100 * float(binary_auroc(said[:, 1] - said[:, 0], rain))
    assert windows.shape[1:] == (24, 8)
    assert auc == pytest.approx(stated("weather-transformer", r"AUC \| ([\d.]+) %"), abs=0.2)


def test_volume_teacher() -> None:
    volumes, labels = read_solids(ROOT / "garments-3d", "test")
    said = all_logits(volume.load_teacher(str(ROOT / "garments-3d-cnn")), volumes)
    right = 100 * float((said.argmax(-1) == labels).float().mean())
    assert right == pytest.approx(stated("garments-3d-cnn", r"Accuracy \| ([\d.]+) %"), abs=0.3)
    assert volumes.shape[1:] == (16, 16, 16) and int(volumes.max()) <= 7


@pytest.mark.parametrize("split", ["seen", "unseen-style", "unseen-concepts"])
def test_clip_teacher(split: str) -> None:
    folder = ROOT / "emoji-clip"
    model = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
    found = measure(model, AutoTokenizer.from_pretrained(folder), read_pairs(ROOT / "emoji", split))
    pattern = rf"\| {split} \| ([\d.]+) \|"
    assert found["image to text R@1"] == pytest.approx(stated("emoji-clip", pattern), abs=0.7)


def test_every_text_of_the_same_concept_is_right() -> None:
    own = 9 * torch.eye(3)
    others = own[[1, 0, 2]]  # each of the first two finds the other's text
    same = torch.tensor([[True, True, False], [True, True, False], [False, False, True]])
    torch.testing.assert_close(contrast(own, same), contrast(others, same))
    assert contrast(own, same) < contrast(own[[2, 1, 0]], same)


def test_a_solid_that_is_not_turned_is_thickest_where_the_picture_is_bright() -> None:
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, :, 8:20] = 255
    solid = solids(image, torch.zeros(1, 3, dtype=torch.float64))[0]
    assert solid[:, :, 7].float().sum() > 0 and solid[:, :, 0].float().sum() == 0
    assert torch.equal(random_angles("train", [3]), random_angles("train", [3]))


def test_splits_of_definitions_do_not_meet() -> None:
    keys = {
        split: {key.split("-")[1] for key, _ in read_samples(ROOT / "glosses", split)} for split in ("train", "test")
    }
    texts = {split: {m["txt"] for _, m in read_samples(ROOT / "glosses", split)} for split in ("train", "test")}
    assert not keys["train"] & keys["test"] and not texts["train"] & texts["test"]
    assert split_glosses([]).test == []


def test_test_weeks_are_no_training_weeks() -> None:
    weeks = {
        split: {int(key.rsplit("-", 1)[1]) // 168 for key, _ in read_samples(ROOT / "weather", split)}
        for split in ("train", "test")
    }
    assert not weeks["train"] & weeks["test"]
    assert {week % 4 for week in weeks["test"]} == {3}


def test_missing_package_is_one_sentence_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="apt-get install wordnet-base"):
        make_samples(package=tmp_path, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
