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
from teachercache.stages.capture import listen
from teachercache.stages.capture.packed_images import sequences
from teachercache.stages.errors import StageError
from teachercache.stages.teacher.families.vision_language import VisionLanguage
from teachercache.stages.teacher.inputs.processing import by_row
from teachercache.stages.teacher.signals.signal_schema import signal_schema
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


TOWER = ("vision.attention.0", "vision.attention.1", "vision.qkv.1")


def test_attention_of_a_tower_that_runs_image_by_image_is_that_of_each_image(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against eager transformers, which returns no attentions of this tower: its own eager function is listened to."""
    from transformers.models.qwen2_vl import modeling_qwen2_vl as plain

    heard: Any = teacher(folder, TOWER)(given := inputs(folder))
    model: Any = Qwen2VLForConditionalGeneration.from_pretrained(folder, attn_implementation="eager").eval()
    eager, said = plain.eager_attention_forward, []

    def listened(module: Any, query: Any, key: Any, value: Any, *args: Any, **options: Any) -> Any:
        output = eager(module, query, key, value, *args, **options)
        said.append((output[1], torch.stack([query, key, value], dim=1)))
        return output

    monkeypatch.setattr(plain, "eager_attention_forward", listened)
    with torch.inference_mode():
        model.model.visual(given["pixel_values"].flatten(0, 1), grid_thw=given["image_grid_thw"])
    assert len(said) == 2 * len(IDS)  # layer by layer, and image by image in each
    maps, stacked = zip(*said, strict=True)
    for layer in range(2):
        expected = torch.cat(maps[layer * len(IDS) : (layer + 1) * len(IDS)])
        assert expected.shape == (len(IDS), 3, 4 * PATCHES, 4 * PATCHES)
        torch.testing.assert_close(heard[f"vision.attention.{layer}"], expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(heard["vision.qkv.1"], torch.cat(stacked[len(IDS) :]), atol=1e-5, rtol=1e-5)
    assert (heard["vision.attention.0"][0] - heard["vision.attention.0"][1]).abs().max() > 1e-3


def test_attention_of_such_a_tower_is_kept_as_queries_and_keys(folder: Path) -> None:
    spec = {"map": SignalSpec(codec="f32", point="vision.attention.1")}
    spec["factors"] = SignalSpec(codec="factored", point="vision.attention.1")
    heard: Any = VisionLanguage(TeacherSpec(model=str(folder), device="cpu"), folder, spec, torch.device("cpu"))(
        inputs(folder)
    )
    schema = signal_schema("factors", spec["factors"], heard["factors"])
    codec = schema.build()
    found = codec.decode(codec.encode(heard["factors"]), schema.shape)
    torch.testing.assert_close(found, heard["map"], atol=5e-3, rtol=0)


def test_sequences_of_different_lengths_are_refused_by_name() -> None:
    maps = [torch.rand(1, 3, 4, 4), torch.rand(1, 3, 6, 6)]
    with pytest.raises(StageError, match=r"attention.0: its layer attends within sequences of 4, 6 tokens, of 10"):
        sequences("attention.0", maps, 10)
    with pytest.raises(StageError, match="of 4 tokens, of 10 in all"):
        sequences("attention.0", maps[:1], 10)
    assert sequences("attention.0", [maps[0], maps[0]], 8).shape == (2, 3, 4, 4)


def test_windows_of_an_image_are_sequences_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Qwen2.5-VL: layer 0 attends within four windows of each image, layer 1 within the image."""
    from transformers import Qwen2_5_VLConfig
    from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as plain

    sizes = dict(depth=2, hidden_size=24, num_heads=3, patch_size=4, window_size=16, fullatt_block_indexes=[1])
    config = Qwen2_5_VLConfig(vision_config={**sizes, "intermediate_size": 32, "out_hidden_size": 16}).vision_config
    torch.manual_seed(0)
    tower: Any = plain.Qwen2_5_VisionTransformerPretrainedModel(config).eval()
    pixels, grid = torch.randn(2 * 64, 3 * 2 * 4 * 4), torch.tensor([[1, 8, 8], [1, 8, 8]])
    with torch.inference_mode(), listen(tower, ["attention.0", "attention.1"]) as ears:
        tower(pixels, grid_thw=grid)
        heard = ears.collect()
    eager, said = plain.eager_attention_forward, []

    def listened(*args: Any, **options: Any) -> Any:
        output = eager(*args, **options)
        said.append(output[1])
        return output

    monkeypatch.setattr(plain, "eager_attention_forward", listened)
    tower.set_attn_implementation("eager")
    with torch.inference_mode():
        tower(pixels, grid_thw=grid)
    assert len(said) == 8 + 2 and heard["attention.0"].shape == (8, 3, 16, 16)
    torch.testing.assert_close(heard["attention.0"], torch.cat(said[:8]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(heard["attention.1"], torch.cat(said[8:]), atol=1e-5, rtol=1e-5)
