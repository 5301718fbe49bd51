"""A model with its own code that expands images in its forward pass, as Magma does: heard as if it told everything."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from agent_models import BASE, save_agent
from agent_plain import action_ids, build, cut, views_of
from agent_shards import INPUTS

from teachercache.cache import Ragged
from teachercache.stages.errors import StageError
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache
from teachercache.stages.teacher.weights import teacher_folder

AgentJob = Callable[..., CacheJob]
F32 = {"codec": "f32"}
PATCHES = 2 * (2 + 1)  # two rows of two, a separator behind each
POINTS = (
    "spans",
    "hidden.1",
    "hidden.-1.image",
    "hidden.1.text",
    "hidden.1.action",
    "attention.0",
    "attention.1.action-image",
    "attention.1.text-image",
    "logits.action",
    "logits.text",
    "actions",
    "projector",
)


@pytest.fixture(scope="session")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_agent(tmp_path_factory.mktemp("agent") / "agent")


@pytest.fixture
def magma_job(agent_job: AgentJob, agent: Path) -> AgentJob:
    def make(points: Any = POINTS, **teacher: Any) -> CacheJob:
        settings = {"model": str(agent), "trust_remote_code": True, "prompt": "user <image> {text} says", **teacher}
        return agent_job("agent", dict.fromkeys(points, F32), **settings)

    return make


def plain_rows(folder: Path, job: CacheJob) -> list[dict[str, np.ndarray]]:
    """Each row by hand: its embeddings laid out token by token, and the inner model of transformers run on them."""
    from transformers import AutoTokenizer, LlamaForCausalLM
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    kind: Any = get_class_from_dynamic_module("modeling_agent.AgentForCausalLM", str(folder))
    kind._supports_sdpa, kind.tie_weights = True, lambda self, *_, **__: None
    model = kind.from_pretrained(folder).eval()
    inner: Any = LlamaForCausalLM(model.config.text_config).eval()
    inner.load_state_dict(model.language_model.state_dict())
    inner.set_attn_implementation("eager")
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    found = []
    for pixels, text, action in views_of(job):
        ids = tokenizer(f"user <image> {text} says")["input_ids"] + action_ids(action, BASE)
        place = ids.index(BASE)
        image = torch.from_numpy(np.asarray(pixels)).permute(2, 0, 1).float() / 255
        with torch.inference_mode():
            projected = model.multi_modal_projector(model.vision_tower(image[None])[0].permute(1, 2, 0))
            words = inner.get_input_embeddings()(torch.tensor([0 if word == BASE else word for word in ids]))
            whole = torch.cat([words[:place], model.see(image), words[place + 1 :]])[None]
            said = inner(inputs_embeds=whole, output_hidden_states=True, output_attentions=True)
        kinds = np.array([0] * place + [1] * PATCHES + [0] * (len(ids) - place - 1 - len(action)) + [2] * len(action))
        edges = [0, place, place + PATCHES, len(kinds) - len(action), len(kinds)]
        at = {span: np.flatnonzero(kinds == number) for number, span in enumerate(("text", "image", "action"))}
        hidden, logits = [state[0].numpy() for state in said.hidden_states], said.logits[0].numpy()
        maps = [attention[0].numpy() for attention in said.attentions]
        before = {span: places[places > 0] - 1 for span, places in at.items()}
        found.append(
            {
                "spans": np.array([[kind, *edges[i : i + 2]] for i, kind in enumerate((0, 1, 0, 2))], np.float32),
                "hidden.1": hidden[1],
                "hidden.-1.image": hidden[-1][at["image"]],
                "hidden.1.text": hidden[1][at["text"]],
                "hidden.1.action": hidden[1][at["action"]],
                "attention.0": maps[0],
                "attention.1.action-image": maps[1][:, at["action"]][:, :, at["image"]],
                "attention.1.text-image": maps[1][:, at["text"]][:, :, at["image"]],
                "logits.action": logits[before["action"]],
                "logits.text": logits[before["text"]],
                "actions": logits[before["action"]][:, BASE - 256 : BASE][:, ::-1],
                "projector": projected.numpy(),
            }
        )
    return found


@pytest.mark.parametrize("batch", [6, 2])  # 2: rows of one sample, so nothing is padded, or on the left
def test_every_point_of_an_expanding_model_equals_its_layout_by_hand(
    magma_job: AgentJob, agent: Path, batch: int
) -> None:
    job = magma_job(batch_size=batch, max_tokens=40)
    found, rows = build(job), plain_rows(agent, job)
    assert len({len(row["hidden.1"]) for row in rows}) > 2
    for number, row in enumerate(rows):
        for point, value in row.items():
            kept = cut(found[point], number, value.shape)
            np.testing.assert_allclose(kept, value, atol=3e-5, rtol=3e-5, err_msg=point)


def test_spans_count_embeddings_and_not_ids(magma_job: AgentJob) -> None:
    found = build(magma_job(("spans", "hidden.0")))
    spans = found["spans"]
    assert isinstance(spans, Ragged)
    for row, runs in enumerate(spans.values[:, :4]):
        assert runs[1].tolist() == [1, runs[1][1], runs[1][1] + PATCHES]
        assert runs[3].tolist() == [2, found["hidden.0"].lengths[row] - 3, found["hidden.0"].lengths[row]]


def test_remote_code_is_run_only_when_it_is_asked_for(magma_job: AgentJob) -> None:
    with pytest.raises(StageError, match="family"):
        build_cache(magma_job(trust_remote_code=False, prompt=None))
    with pytest.raises(StageError, match="cannot be loaded"):
        build_cache(magma_job(trust_remote_code=False, family="vision-language"))
    with pytest.raises(StageError, match=r"teacher\.trust_remote_code.*of causal-lm"):
        build_cache(magma_job(family="causal-lm", prompt=None))


def test_other_code_is_another_cache(magma_job: AgentJob, agent: Path, tmp_path: Path) -> None:
    shutil.copytree(agent, tmp_path / "changed")
    code = tmp_path / "changed" / "modeling_agent.py"
    code.write_text(code.read_text().replace("nn.Tanh()", "nn.ReLU()"))
    one, other = magma_job(), magma_job(model=str(tmp_path / "changed"))
    assert one.teacher_identity["code"] != other.teacher_identity["code"]
    assert one.teacher_identity["weights"] == other.teacher_identity["weights"]


def test_a_name_on_the_hub_needs_a_whole_commit(magma_job: AgentJob) -> None:
    with pytest.raises(StageError, match="is no commit"):
        teacher_folder(magma_job(model="some-lab/agent", revision="main").teacher)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architectures": ["NoSuchAgent"]}, "cannot be imported"),
        ({"auto_map": {"AutoModel": "other/repo--modeling_agent.AgentForCausalLM"}}, "another repository"),
        ({"auto_map": {}}, "no code for it"),
    ],
)
def test_code_that_cannot_be_the_teacher_is_refused(
    magma_job: AgentJob, agent: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    folder = shutil.copytree(agent, tmp_path / "wrong")
    config = json.loads((folder / "config.json").read_text())
    for key, value in change.items():
        config[key] = {**config["auto_map"], **value} if key == "auto_map" and value else value
    if "AutoModel" in config.get("auto_map", {}):
        config["auto_map"].pop("AutoModelForCausalLM", None)
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(StageError, match=message):
        build_cache(magma_job(model=str(folder)))


def test_a_text_that_holds_the_word_of_an_image_is_refused(magma_job: AgentJob) -> None:
    job = magma_job(prompt="user {text}", inputs=INPUTS)
    with pytest.raises(StageError, match="where the image goes"):
        build_cache(job)
