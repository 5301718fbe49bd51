"""The shipped emoji are split as their card says: no concept, picture or style stands on the wrong side."""

import json
from collections import Counter
from pathlib import Path

import pytest

from teachercache.pipeline.recipes.clip_small.make_samples import captions
from teachercache.pipeline.recipes.emoji.concepts import Concept, family
from teachercache.pipeline.recipes.sample_shards import decoded, read_samples

SAMPLES = Path(__file__).resolve().parents[2] / "data/samples/emoji"
COUNTS = {"train": 3000, "seen": 300, "unseen-style": 300, "unseen-concepts": 200}
Pair = tuple[str, str]


@pytest.fixture(scope="module")
def splits() -> dict[str, dict[Pair, dict[str, bytes]]]:
    """{split: {(concept, style): members}}."""
    found = {}
    for split in COUNTS:
        pairs = {}
        for key, members in read_samples(SAMPLES, split):
            concept, style = key.removeprefix(f"{split}-").rsplit("-", 1)
            pairs[concept, style] = members
        found[split] = pairs
    return found


def test_counts_are_those_of_the_card(splits: dict[str, dict[Pair, dict[str, bytes]]]) -> None:
    assert {split: len(pairs) for split, pairs in splits.items()} == COUNTS
    assert len({concept for concept, _ in splits["train"]}) == 1100


def test_no_family_is_new_and_known(splits: dict[str, dict[Pair, dict[str, bytes]]]) -> None:
    known = {family(concept) for concept, _ in splits["train"]}
    assert not {family(concept) for concept, _ in splits["unseen-concepts"]} & known


def test_who_does_it_and_the_hour_make_no_other_family() -> None:
    assert len({family(icon) for icon in ("man-cook", "woman-cook", "cook", "man-cook-facing-right")}) == 1
    assert family("one-oclock") == family("nine-thirty") != family("alarm-clock")
    assert family("man") == family("person")


def test_held_out_pictures_are_of_known_concepts_and_are_not_in_training(
    splits: dict[str, dict[Pair, dict[str, bytes]]],
) -> None:
    train = set(splits["train"])
    known = {concept for concept, _ in train}
    assert not set(splits["seen"]) & train
    assert {concept for concept, _ in splits["seen"]} == {concept for concept, _ in splits["unseen-style"]}
    assert {concept for concept, _ in splits["seen"]} <= known
    shown = {decoded(members["webp"]).tobytes() for members in splits["train"].values()}
    assert not [pair for pair, members in splits["seen"].items() if decoded(members["webp"]).tobytes() in shown]


def test_only_the_unseen_style_has_its_style(splits: dict[str, dict[Pair, dict[str, bytes]]]) -> None:
    styles = {split: {style for _, style in pairs} for split, pairs in splits.items()}
    assert styles.pop("unseen-style") == {"emojione"}
    assert set().union(*styles.values()) == {"noto", "twemoji", "fluent"}


def test_captions_are_lists_of_texts_and_names_differ_within_a_held_out_shard(
    splits: dict[str, dict[Pair, dict[str, bytes]]],
) -> None:
    for split, pairs in splits.items():
        texts = [json.loads(members["json"]) for members in pairs.values()]
        assert all(2 <= len(some) <= 5 and all(some) for some in texts)
        names = Counter(some[0] for some in texts)
        assert split == "train" or names.most_common(1)[0][1] == 1
        assert all(("cls" in members) == (split != "train") for members in pairs.values())


def test_captions_of_a_concept_are_the_same_at_each_run_and_begin_with_its_name() -> None:
    ant = Concept("ant", "ant", ("ant", "insect", "garden", "animal"), 2, "ant")
    assert captions(ant) == captions(ant)
    assert captions(ant)[0] == "ant"
    assert captions(Concept("x", "x", (), 0, "x"))[0] == "x"
