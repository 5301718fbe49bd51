"""The shipped samples and the shipped teacher are what their cards say."""

import re
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import AutoImageProcessor, AutoModelForImageClassification

from teachercache.pipeline.recipes.image_vit.make_samples import CLASSES, make_samples, read_shards
from teachercache.pipeline.recipes.image_vit.train_teacher import Recipe, accuracy, augment, make_model, pixels, train

ROOT = Path(__file__).resolve().parents[2] / "data/samples"
SAMPLES, TEACHER = ROOT / "fashion-mnist", ROOT / "fashion-mnist-vit"
LIMIT = 8_000_000
Splits = dict[str, tuple[list[str], np.ndarray, np.ndarray]]


def row(card: Path, first: str) -> list[str]:
    """The cells of the card's table row that begins with `first`."""
    lines = [line for line in card.read_text().splitlines() if line.startswith(f"| {first} |")]
    assert len(lines) == 1, f"{card}: {len(lines)} rows begin with {first}"
    return [cell.strip() for cell in lines[0].strip("|").split("|")][1:]


def number(text: str) -> float:
    match = re.search(r"[\d,.]*\d", text)
    assert match, text
    return float(match.group().replace(",", ""))


@pytest.fixture(scope="module")
def splits() -> Splits:
    return {split: read_shards(SAMPLES, split) for split in ("train", "test")}


def test_shards_take_the_bytes_of_the_card_and_at_most_8_mb() -> None:
    sizes = [path.stat().st_size for path in SAMPLES.glob("*.tar")]
    cell = row(SAMPLES / "CARD.md", "Size")[0]
    assert sum(sizes) <= LIMIT
    assert [sum(sizes), len(sizes)] == [int(n.replace(",", "")) for n in re.findall(r"[\d,]*\d", cell)]


def test_member_names_are_unique_and_have_no_folder() -> None:
    names: list[str] = []
    for path in SAMPLES.glob("*.tar"):
        with tarfile.open(path) as tar:
            names += tar.getnames()
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"(train|test)-\d{5}\.(webp|cls)", name) for name in names)


@pytest.mark.parametrize("split", ["train", "test"])
def test_counts_are_those_of_the_card(split: str, splits: Splits) -> None:
    keys, images, labels = splits[split]
    shards = len(list(SAMPLES.glob(f"{split}-*.tar")))
    counts = [shards, len(keys), int((labels >= 0).sum()), int((labels < 0).sum())]
    assert images.shape == (len(keys), 28, 28)
    assert counts == [number(cell) for cell in row(SAMPLES / "CARD.md", split)[:4]]


def test_labels_are_balanced(splits: Splits) -> None:
    for split, count in (("train", 100), ("test", 135)):
        labels = splits[split][2]
        assert Counter(labels[labels >= 0].tolist()) == dict.fromkeys(range(len(CLASSES)), count)


def test_no_test_image_stands_in_a_training_shard(splits: Splits) -> None:
    held_out = {image.tobytes() for image in splits["test"][1]}
    assert not [key for key, image in zip(*splits["train"][:2], strict=True) if image.tobytes() in held_out]
    assert {key.split("-")[0] for key in splits["train"][0]} == {"train"}
    assert {key.split("-")[0] for key in splits["test"][0]} == {"test"}


def test_missing_package_is_one_sentence_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="apt-get install dataset-fashion-mnist"):
        make_samples(package=tmp_path, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_teacher_reaches_the_accuracy_of_its_card(splits: Splits) -> None:
    model = AutoModelForImageClassification.from_pretrained(TEACHER, local_files_only=True)
    stated = re.search(r"([\d.]+) % on the shipped test shards", row(TEACHER / "CARD.md", "Accuracy")[0])
    assert stated
    assert accuracy(model, *splits["test"][1:]) == pytest.approx(float(stated.group(1)), abs=0.2)
    assert model.num_parameters() == number(row(TEACHER / "CARD.md", "Parameters")[0])
    assert tuple(model.config.id2label.values()) == CLASSES


def test_teacher_takes_at_most_8_mb() -> None:
    assert sum(path.stat().st_size for path in TEACHER.iterdir()) <= LIMIT


def test_image_processor_makes_what_the_teacher_was_trained_on(
    splits: Splits,
) -> None:
    images = splits["test"][1][:4]
    processor = AutoImageProcessor.from_pretrained(TEACHER, use_fast=False, local_files_only=True)
    made = processor(list(images[..., None]), return_tensors="pt", input_data_format="channels_last")["pixel_values"]
    torch.testing.assert_close(made, pixels(torch.tensor(images)))


def test_augmentation_flips_half_of_the_images_and_moves_whole_pixels(splits: Splits) -> None:
    images = torch.tensor(splits["test"][1][:200])
    moved = augment(images, 2, torch.Generator().manual_seed(0))
    assert moved.shape == (200, 1, 28, 28)
    framed = F.pad(pixels(images), (2, 2, 2, 2), value=-1.0)
    kinds = Counter(
        (flip, x, y)
        for source, made in zip(framed, moved, strict=True)
        for flip in (False, True)
        for x in range(5)
        for y in range(5)
        if torch.equal((source.flip(-1) if flip else source)[:, y : y + 28, x : x + 28], made)
    )
    assert kinds.total() >= len(images)
    assert 60 < sum(count for (flip, _, _), count in kinds.items() if flip) < 140
    assert {x for _, x, _ in kinds} == {y for _, _, y in kinds} == set(range(5))


def test_training_learns_and_repeats(splits: Splits) -> None:
    images, labels = (torch.tensor(part[:256]) for part in splits["test"][1:])
    models = []
    for _ in range(2):
        torch.manual_seed(0)
        models.append(make_model())
        before = accuracy(models[-1], images.numpy(), labels.numpy())
        train(models[-1], images, labels, Recipe(epochs=4, batch_size=32))
        assert accuracy(models[-1], images.numpy(), labels.numpy()) > before + 20
    for first, second in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(first, second)
