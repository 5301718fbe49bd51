"""Qwen2-VL, whose patches of all images lie end to end. Its processor needs torchvision for its videos, so that the
inputs are made here, of its own image processor and tokenizer."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from agent_models import BASE, save_model
from transformers import Qwen2VLForConditionalGeneration, Qwen2VLImageProcessorPil

from teachercache.cache import Ragged
from teachercache.cache.spec import SignalSpec
from teachercache.stages.errors import StageError
from teachercache.stages.teacher.families.vision_language import VisionLanguage
from teachercache.stages.teacher.inputs.processing import by_row
from teachercache.stages.teacher.spec import TeacherSpec

POINTS = (
    "hidden.1",
    "hidden.-1.image",
    "hidden.1.text",
    "attention.1.text-image",
    "logits.text",
    "spans",
    "projector",
    "vision.hidden.-1",
)
PATCHES = 4  # of 16 x 16 pixels, when four patches of 4 x 4 become one token
IDS = ([2, 16, BASE + 2, *[BASE] * PATCHES, BASE + 3, 5, 6], [2, BASE + 2, *[BASE] * PATCHES, BASE + 3, 7, 8, 9, 10])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model("qwen2-vl", tmp_path_factory.mktemp("qwen") / "model")


def teacher(folder: Path, points: tuple[str, ...]) -> VisionLanguage:
    spec = TeacherSpec(model=str(folder), device="cpu")
    signals = {point: SignalSpec(codec="f32") for point in points}
    return VisionLanguage(spec, folder, signals, torch.device("cpu"))


def inputs(folder: Path) -> dict[str, torch.Tensor]:
    processor = Qwen2VLImageProcessorPil.from_pretrained(folder)
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (16, 16, 3), dtype=np.uint8) for _ in IDS]
    pixels = {name: by_row(name, value, len(IDS)) for name, value in processor(images, return_tensors="pt").items()}
    longest = max(map(len, IDS))
    ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in IDS])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in IDS])
    kinds = torch.where(ids == BASE, 1, 0).masked_fill(mask == 0, -1)
    types = (ids == BASE).long()
    return {"input_ids": ids, "attention_mask": mask, "token_kinds": kinds, "mm_token_type_ids": types, **pixels}


def test_every_point_equals_plain_transformers_row_by_row(folder: Path) -> None:
    heard: Any = teacher(folder, POINTS)(given := inputs(folder))
    model: Any = Qwen2VLForConditionalGeneration.from_pretrained(folder, attn_implementation="eager").eval()
    for row, ids in enumerate(IDS):
        one = {name: value[row : row + 1] for name, value in given.items() if name != "token_kinds"}
        for name in ("input_ids", "attention_mask", "mm_token_type_ids"):
            one[name] = one[name][:, : len(ids)]
        one["pixel_values"] = one["pixel_values"][0]
        states: dict[str, Any] = {}
        with torch.inference_mode():
            hook = model.model.visual.register_forward_hook(lambda _, __, out, states=states: states.update(out=out))
            merger = model.model.visual.merger.register_forward_hook(
                lambda _, __, out, states=states: states.update(merged=out)
            )
            said = model(**one, output_hidden_states=True, output_attentions=True)
            hook.remove()
            merger.remove()
        image = np.flatnonzero(np.array(ids) == BASE)
        text = np.flatnonzero(np.array(ids) != BASE)
        expected = {
            "hidden.1": said.hidden_states[1][0],
            "hidden.-1.image": said.hidden_states[-1][0][image],
            "hidden.1.text": said.hidden_states[1][0][text],
            "attention.1.text-image": said.attentions[1][0][:, text][:, :, image],
            "logits.text": said.logits[0][text[text > 0] - 1],
            "projector": states["merged"],
        }
        for point, value in expected.items():
            found = heard[point]
            kept = (found.values if isinstance(found, Ragged) else found)[row]
            kept = kept[tuple(slice(0, size) for size in value.shape)]
            torch.testing.assert_close(
                kept, value, atol=3e-5, rtol=3e-5, msg=lambda told, point=point: f"{point} {told}"
            )
    assert heard["vision.hidden.-1"].shape[:2] == (len(IDS), 4 * PATCHES)


def test_attention_of_a_tower_that_runs_image_by_image_is_refused(folder: Path) -> None:
    with pytest.raises(StageError, match="not one attention per sample"):
        teacher(folder, ("vision.attention.0",))(inputs(folder))
