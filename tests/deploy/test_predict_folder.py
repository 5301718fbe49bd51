"""One bad picture of a folder is named, and the others are answered."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from teachercache.data import DataError
from teachercache.stages.deploy.predict import open_predictor
from teachercache.stages.errors import StageError

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Pictures a and c, and between them b, which ends in the middle."""
    (tmp_path / "photos").mkdir()
    for name in "ac":
        Image.fromarray(PIXELS).save(tmp_path / "photos" / f"{name}.png")
    (tmp_path / "photos" / "b.png").write_bytes((tmp_path / "photos" / "a.png").read_bytes()[:400])
    return tmp_path / "photos"


@pytest.mark.parametrize("batch", [1, 2, 32])
def test_the_others_of_a_folder_are_answered(
    run: Callable[..., str], save: Callable[..., Path], photos: Path, batch: int
) -> None:
    folder = save(photos.parent / "students")
    said = run("predict", folder, photos, "--batch-size", batch, code=2)
    assert "a.png" in said and "c.png" in said and said.count("error: ") == 1
    assert f"error: {photos}/b.png: its image cannot be decoded" in said and "sample" not in said


def test_json_says_the_error_in_its_place(run: Callable[..., str], save: Callable[..., Path], photos: Path) -> None:
    folder = save(photos.parent / "students")
    said = run("predict", folder, photos, "--json", code=2)
    found, end = json.JSONDecoder().raw_decode(said)
    assert said[end:].strip().startswith(f"error: {photos}/b.png")
    assert [Path(one["item"]).name for one in found] == ["a.png", "b.png", "c.png"]
    assert set(found[1]) == {"item", "error"} and "Give a file that opens in a picture viewer" in found[1]["error"]
    assert found[0]["outputs"]["logits"] == pytest.approx(found[2]["outputs"]["logits"], abs=1e-5)
    assert json.loads(run("predict", folder, photos / "a.png", "--json"))[0]["classes"]


def test_a_folder_of_bad_pictures_alone_is_no_table(
    run: Callable[..., str], save: Callable[..., Path], photos: Path
) -> None:
    said = run("predict", save(photos.parent / "students"), photos / "b.png", code=2)
    assert said.startswith("error: ") and "classes" not in said


def test_each_item_has_its_answer_or_its_error(save: Callable[..., Path], photos: Path) -> None:
    predictor = open_predictor(save(photos.parent / "students"), batch_size=2)
    good, bad, none, last = predictor.answers([PIXELS, photos / "b.png", None, photos / "c.png"])
    assert isinstance(bad, DataError) and isinstance(none, StageError) and "item 2 is None" in str(none)
    assert not isinstance(good, Exception) and not isinstance(last, Exception)
    np.testing.assert_allclose(good["logits"], last["logits"], atol=1e-5)
    with pytest.raises(DataError, match="b.png"):
        predictor.predict([PIXELS, photos / "b.png"])
