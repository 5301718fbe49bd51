"""Models of images and text: what the cache holds is what plain transformers says of each row alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from agent_models import BASE
from agent_plain import Said, build, cut, plain_rows, views_of
from agent_shards import INPUTS, write_shard

from teachercache.data import DataError
from teachercache.stages.errors import StageError
from teachercache.stages.teacher.families.family import family_of, open_teacher, teacher_inputs
from teachercache.stages.teacher.inputs.loader import PreparedPieces, plan_pieces
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache

AgentJob = Callable[..., CacheJob]
F32 = {"codec": "f32"}
POINTS = (
    "spans",
    "hidden.0",
    "hidden.-1",
    "hidden.1.text",
    "hidden.1.image",
    "attention.0",
    "attention.-1.text-image",
    "attention.-1.image-text",
    "attention.0.text-text",
    "attention.0.image-image",
    "projector",
    "logits.text",
)
ACTIONS = ("hidden.1.action", "attention.0.action-image", "logits.action", "actions")
PARTS = {
    "llava": ("model.vision_tower", "model.multi_modal_projector"),
    "paligemma": ("model.vision_tower", "model.multi_modal_projector"),
    "idefics3": ("model.vision_model", "model.connector"),
    "idefics3-tiles": ("model.vision_model", "model.connector"),
}


def expected(point: str, said: Said) -> np.ndarray:
    """A point of one row, cut out of what was said of the whole row, place by place."""
    name, _, rest = point.partition(".")
    layer, _, span = rest.partition(".")
    if point == "spans":
        edges = [0, *(np.flatnonzero(np.diff(said.kinds)) + 1), len(said.kinds)]
        return np.array([[said.kinds[a], a, b] for a, b in zip(edges, edges[1:], strict=False)], np.float32)
    if point == "projector":
        return said.projected.numpy() if len(said.projected) > 1 else said.projected[0].numpy()
    if name in ("logits", "actions"):
        before = said.places(rest or "action") - 1
        logits = said.output.logits[0, before[before >= 0]].numpy()
        return logits[:, BASE - 1 - np.arange(256)] if name == "actions" else logits
    if name == "hidden":
        states = said.output.hidden_states[int(layer)][0].numpy()
        return states[said.places(span)] if span else states
    maps = said.output.attentions[int(layer)][0].numpy()
    rows, _, columns = span.partition("-")
    return maps[:, said.places(rows)][:, :, said.places(columns)] if span else maps


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")  # PaliGemma's
@pytest.mark.parametrize("name", ["llava", "paligemma", "idefics3", "idefics3-tiles"])
def test_every_point_equals_plain_transformers_row_by_row(agent_job: AgentJob, name: str) -> None:
    actions = name != "paligemma"
    inputs = INPUTS if actions else {"image": "image", "text": "caption"}
    points = [*POINTS, *(ACTIONS if actions else ())]
    job = agent_job(name, dict.fromkeys(points, F32), inputs=inputs)
    assert family_of(job.teacher, job.folder) == "vision-language"
    found = build(job)
    rows = plain_rows(job, *PARTS[name], BASE, actions)
    assert len({len(said.ids) for said in rows}) > 2  # padding is in the game
    assert {len(said.projected) for said in rows} == {5 if name == "idefics3-tiles" else 1}  # four tiles and the whole
    for row, said in enumerate(rows):
        for point in points:
            value = expected(point, said)
            np.testing.assert_allclose(cut(found[point], row, value.shape), value, rtol=3e-5, atol=3e-5, err_msg=point)


def test_the_tower_is_heard_beside_what_the_model_reads_of_it(agent_job: AgentJob) -> None:
    """LLaVA asks its tower for one hidden state; asking for another must not take that one away."""
    from transformers import AutoProcessor, LlavaForConditionalGeneration

    job = agent_job("llava", dict.fromkeys(("vision.hidden.0", "vision.attention.1", "vision.hidden.-1"), F32))
    found = build(job)
    model: Any = LlavaForConditionalGeneration.from_pretrained(job.folder, attn_implementation="eager").eval()
    processor: Any = AutoProcessor.from_pretrained(job.folder)
    pixels = processor.image_processor([view for view, _, _ in views_of(job)], return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        said = model.model.vision_tower(pixels, output_hidden_states=True, output_attentions=True)
    np.testing.assert_allclose(found["vision.hidden.0"], said.hidden_states[0], atol=3e-5, rtol=3e-5)
    np.testing.assert_allclose(found["vision.hidden.-1"], said.hidden_states[-1], atol=3e-5, rtol=3e-5)
    np.testing.assert_allclose(found["vision.attention.1"], said.attentions[1], atol=3e-5, rtol=3e-5)


def test_logits_of_a_span_are_kept_sparse_or_as_what_enters_the_head(agent_job: AgentJob) -> None:
    signals: dict[str, dict[str, Any]] = {
        "logits.text": F32,
        "logits.action": F32,
        "actions": F32,
        "text-head": {"point": "logits.text", "codec": "head"},
        "action-head": {"point": "logits.action", "codec": "head"},
        "text-top": {"point": "logits.text", "codec": "topk", "k": 4},
        "action-top": {"point": "logits.action", "codec": "topk", "k": 4},
        "bins": {"point": "actions", "codec": "pps", "k": 4},
    }
    found = build(agent_job("llava", signals))
    text, action = found["logits.text"], found["logits.action"]
    of_head = found["text-head"].logits()
    assert of_head.lengths.tolist() == text.lengths.tolist() == found["text-top"].lengths.tolist()
    np.testing.assert_allclose(of_head.values, text.values, atol=2e-2)
    np.testing.assert_allclose(found["action-head"].logits(), action, atol=2e-2)
    real = np.concatenate([row[:length] for row, length in zip(text.values, text.lengths, strict=True)])
    np.testing.assert_array_equal(found["text-top"].targets.ids[:, 0], real.argmax(axis=-1))
    np.testing.assert_array_equal(found["action-top"].targets.ids[:, 0], action.reshape(-1, 320).argmax(axis=-1))
    np.testing.assert_array_equal(found["bins"].targets.ids[:, 0], found["actions"].reshape(-1, 256).argmax(axis=-1))
    assert set(found["action-top"].lengths.tolist()) == {action.shape[1]}


def test_the_mean_of_a_span_counts_its_tokens_alone(agent_job: AgentJob) -> None:
    signals = {f"{span}-mean": {"point": f"hidden.1.{span}", "reduce": "mean", **F32} for span in ("text", "image")}
    found = build(agent_job("llava", {**signals, "hidden.1.text": F32, "hidden.1.image": F32}))
    text = found["hidden.1.text"]
    for row, length in enumerate(text.lengths):
        np.testing.assert_allclose(found["text-mean"][row], text.values[row, :length].mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(found["image-mean"], found["hidden.1.image"].mean(axis=1), atol=1e-5)


def test_heads_are_averaged_inside_a_block(agent_job: AgentJob) -> None:
    block = {"point": "attention.0.text-image", **F32}
    found = build(agent_job("llava", {"all": block, "mean": {**block, "reduce": "head-mean"}}))
    np.testing.assert_allclose(found["mean"].values, found["all"].values.mean(axis=1), atol=1e-6)


def test_a_map_kept_as_queries_and_keys_is_the_map(agent_job: AgentJob) -> None:
    signals = {
        "map": {"point": "attention.1", **F32},
        "factors": {"point": "attention.1", "codec": "factored"},
        "tower": {"point": "vision.attention.1", **F32},
        "tower-factors": {"point": "vision.attention.1", "codec": "factored"},
    }
    found = build(agent_job("llava", signals))
    for exact, factored in (("map", "factors"), ("tower", "tower-factors")):
        values = [getattr(found[name], "values", found[name]) for name in (exact, factored)]
        np.testing.assert_allclose(values[1], values[0], atol=5e-3)


def test_what_nobody_asks_for_is_not_computed(agent_job: AgentJob) -> None:
    """The head runs on the tokens whose logits are kept, and on one where none are."""
    counted: list[int] = []
    for signals, most in (({"hidden.-1": F32}, 1), ({"actions": F32}, 12)):
        job = agent_job("llava", signals)
        teacher: Any = open_teacher(job.teacher, job.folder, job.signals, torch.device("cpu"))
        hook = teacher.model.lm_head.register_forward_pre_hook(lambda _, args: counted.append(args[0].shape[1]))
        inputs = prepared_inputs(job)
        teacher(inputs)
        hook.remove()
        teacher.close()
        assert counted[-1] <= most < inputs["input_ids"].shape[1]


def prepared_inputs(job: CacheJob) -> Any:
    """The inputs of the first shard's rows."""
    prepare = teacher_inputs(job.teacher, job.folder, job.source, job.policy)
    pieces = plan_pieces(job.source, job.source.shards(), 4)
    return PreparedPieces(job.source, job.policy, prepare, pieces, False)[0].inputs


@pytest.mark.parametrize(
    ("signals", "teacher", "message"),
    [
        ({"logits": F32}, {}, "logits.text"),
        ({"spans": {}}, {}, "codec: f32"),
        ({"text.hidden.1": F32}, {}, "hidden.1"),
        ({"hidden.9.text": F32}, {}, "no hidden.9"),
        ({"attention.0.text-image": {**F32, "causal": True}}, {}, "causal is for whole maps"),
        ({"hidden.1.action": F32}, {"inputs": {"image": "image", "text": "caption"}}, "no action tokens"),
        ({"hidden.0": F32}, {"prompt": "user {text}"}, "where the image goes"),
        ({"hidden.0": F32}, {"prompt": "user <image>"}, "has no {text}"),
        ({"hidden.0": F32}, {"prompt": None}, "chat template"),
        ({"hidden.0": F32}, {"truncate": True}, "not cut"),
        ({"hidden.0": F32}, {"max_tokens": 1000}, "64 tokens at most"),
        ({"hidden.0": F32}, {"inputs": {"image": "image", "text": "capton"}}, "did you mean 'caption'"),
        ({"model.languge_model.norm": F32}, {}, "did you mean 'model.language_model.norm'"),
    ],
)
def test_what_would_say_something_else_is_refused(
    agent_job: AgentJob, signals: Any, teacher: dict[str, Any], message: str
) -> None:
    job = agent_job("llava", signals, **teacher)
    with pytest.raises(StageError, match=message.replace("{", r"\{").replace(".", r"\.")):
        build_cache(job)
    assert not Path(str(job.root)).exists()


@pytest.mark.parametrize(
    ("text", "action", "message"),
    [
        ("a <image> cat", np.zeros(3), "as another image"),
        ("cat " * 80, np.zeros(3), "64 are the most"),
        ("cat", np.array([0.0, 1.5]), "lie in"),
        ("cat", np.array([3, 256]), "0 to 255"),
        ("cat", np.zeros((2, 2)), "a row of numbers"),
    ],
)
def test_a_sample_that_the_teacher_cannot_read_is_named(
    agent_job: AgentJob, told: Path, text: str, action: np.ndarray, message: str
) -> None:
    write_shard(told / "train-1.tar", {"bad": (text, action)})
    with pytest.raises(DataError, match=f"'bad'.*{message}"):
        build_cache(agent_job("llava", {"hidden.0": F32}))


def test_actions_of_another_length_are_refused(agent_job: AgentJob, told: Path) -> None:
    write_shard(told / "train-0.tar", {"one": ("cat", np.zeros(3)), "two": ("cat", np.zeros(4))})
    with pytest.raises(DataError, match="'two'.* has 4 coordinates"):
        build_cache(agent_job("llava", {"hidden.0": F32}))


def test_bins_given_as_whole_numbers_are_the_bins_of_coordinates(agent_job: AgentJob, told: Path) -> None:
    values = np.array([-1.0, 0.0, 1.0])
    write_shard(told / "train-0.tar", {"one": ("cat", values)})
    floats = prepared_inputs(agent_job("llava", {"hidden.0": F32}))["input_ids"]
    write_shard(told / "train-0.tar", {"one": ("cat", np.array([0, 127, 255]))})
    np.testing.assert_array_equal(floats, prepared_inputs(agent_job("llava", {"hidden.0": F32}))["input_ids"])
    assert floats[0, -3:].tolist() == [BASE - 1, BASE - 128, BASE - 256]


def test_another_prompt_is_another_cache(agent_job: AgentJob) -> None:
    one = agent_job("llava", {"hidden.0": F32}).fingerprint
    assert one != agent_job("llava", {"hidden.0": F32}, prompt="<image> {text}").fingerprint
