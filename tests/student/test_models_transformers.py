"""Students of any config class: what they give equals what transformers gives, whatever stands beside a row."""

from types import ModuleType
from typing import Any

import pytest
import torch

from teachercache.stages.errors import StageError

IMAGE, TEXT = ("pixel_values",), ("input_ids",)
PAIR = IMAGE + TEXT
SIZE = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12}
CLIP = {
    "text_config": {**SIZE, "eos_token_id": 1},
    "vision_config": {**SIZE, "patch_size": 4},
    "projection_dim": 6,
}
SIGLIP = {"text_config": SIZE, "vision_config": {**SIZE, "patch_size": 4}}
LLAVA = {
    "text_config": {**SIZE, "model_type": "llama", "vocab_size": 21},
    "vision_config": {**SIZE, "patch_size": 4, "model_type": "clip_vision_model"},
    "image_token_index": 20,
}
IDEFICS = {
    "text_config": {**SIZE, "model_type": "llama", "vocab_size": 21},
    "vision_config": {**SIZE, "patch_size": 2},
    "image_token_id": 20,
    "scale_factor": 2,
}
TOWERS = ("image_embeds", "text_embeds", "logits_per_image", "logits_per_text", "vision.hidden.1", "text.attention.0")
SPANS = ("logits", "logits.text", "hidden.1", "hidden.1.image", "attention.0.text-image", "vision.hidden.1")
Case = tuple[str, tuple[str, ...], dict[str, Any], dict[str, tuple[int, ...]]]
CASES: list[Case] = [
    ("BertConfig", TEXT, SIZE, {"logits": (3, 5), "hidden.1": (3, 6, 8), "attention.0": (3, 2, 6, 6)}),
    ("BertConfig", TEXT, SIZE, {"embedding": (3, 8), "hidden.-1": (3, 6, 8)}),
    ("CLIPConfig", PAIR, CLIP, {"image_embeds": (3, 6), "logits_per_text": (3, 3), "text.attention.0": (3, 2, 6, 6)}),
    ("CLIPConfig", IMAGE, CLIP, {"image_embeds": (3, 6), "vision.hidden.1": (3, 5, 8)}),
    ("CLIPTextConfig", TEXT, {**SIZE, "projection_dim": 7, "eos_token_id": 1}, {"text_embeds": (3, 7)}),
    ("SiglipConfig", PAIR, SIGLIP, {"logits_per_image": (3, 3), "text.hidden.0": (3, 6, 8)}),
    (
        "LlavaConfig",
        PAIR,
        LLAVA,
        {"logits.text": (3, 6, 21), "hidden.1.image": (3, 4, 8), "vision.hidden.1": (3, 5, 8)},
    ),
    ("Idefics3Config", PAIR, IDEFICS, {"hidden.1": (3, 10, 8), "attention.0.text-image": (3, 2, 6, 4)}),
]


@pytest.mark.parametrize(("config", "takes", "args", "outputs"), CASES)
def test_a_config_becomes_the_model_that_has_the_outputs(
    students: ModuleType, config: str, takes: tuple[str, ...], args: dict[str, Any], outputs: dict[str, Any]
) -> None:
    found = students.built(f"transformers:{config}", takes, tuple(outputs), args)(students.batch(takes))
    assert {name: tuple(values.shape) for name, values in found.items()} == outputs


def test_a_language_model_says_its_vocabulary_or_classes_as_its_task_says(students: ModuleType) -> None:
    args, inputs = {**SIZE, "pad_token_id": 0}, students.batch(TEXT)
    for task, shape in (("causal-lm", (3, 6, 20)), ("text-classification", (3, 5))):
        outputs = ("logits",) if task == "text-classification" else ("hidden.1",)
        student = students.built("transformers:LlamaConfig", TEXT, outputs, args, task=task)
        assert tuple(student.model(**inputs).logits.shape) == shape
    with pytest.raises(StageError, match="task: LlamaConfig gives logits of classes .* say which"):
        students.built("transformers:LlamaConfig", TEXT, ("logits",), SIZE)


@pytest.mark.parametrize(("config", "args"), [("CLIPConfig", CLIP), ("SiglipConfig", SIGLIP)])
def test_two_towers_compare_as_transformers_does(students: ModuleType, config: str, args: dict[str, Any]) -> None:
    """And what they project stays un-normalised, as the teacher's is kept."""
    student, inputs = students.built(f"transformers:{config}", PAIR, TOWERS, args), students.batch(PAIR)
    if config == "SiglipConfig":
        inputs.pop("attention_mask")  # these texts are of full length, and it never sees a mask
    theirs, found = student.model(**inputs), student(inputs)
    torch.testing.assert_close(found["logits_per_image"], theirs.logits_per_image, rtol=0, atol=1e-5)
    torch.testing.assert_close(found["logits_per_text"], theirs.logits_per_text, rtol=0, atol=1e-5)
    torch.testing.assert_close(torch.nn.functional.normalize(found["text_embeds"]), theirs.text_embeds)
    assert not torch.allclose(found["text_embeds"].norm(dim=1), torch.ones(3))


@pytest.mark.parametrize(("config", "takes", "args", "outputs"), [case for case in CASES if "input_ids" in case[1]])
def test_padding_behind_a_text_changes_nothing(
    students: ModuleType, config: str, takes: tuple[str, ...], args: dict[str, Any], outputs: dict[str, Any]
) -> None:
    student = students.built(f"transformers:{config}", takes, tuple(outputs), args)
    short = students.batch(takes, length=4)
    longer = students.padded(short, 2)
    longer["input_ids"] = longer["input_ids"] * longer["attention_mask"]  # a tokenizer pads with its own id, here 0
    with torch.no_grad():
        plain, padded = student(short), student(longer)
    for name, values in plain.items():
        if "text-image" in name or not name.startswith("attention"):
            cut = padded[name][tuple(slice(0, size) for size in values.shape)]
            torch.testing.assert_close(cut, values, rtol=0, atol=1e-5, msg=name)


def test_an_image_stands_before_its_text(students: ModuleType) -> None:
    """As if the image's tokens were written by hand, and `logits.text` are those of the token before."""
    student, inputs = students.built("transformers:LlavaConfig", PAIR, SPANS, LLAVA), students.batch(PAIR)
    ids = torch.cat([torch.full((3, 4), 20), inputs["input_ids"]], dim=1)
    theirs = student.model(
        input_ids=ids,
        pixel_values=inputs["pixel_values"],
        attention_mask=torch.ones_like(ids),
        output_hidden_states=True,
    )
    found = student(inputs)
    torch.testing.assert_close(found["logits"], theirs.logits, rtol=0, atol=1e-5)
    torch.testing.assert_close(found["logits.text"], theirs.logits[:, 3:9], rtol=0, atol=1e-5)
    torch.testing.assert_close(found["hidden.1.image"], theirs.hidden_states[1][:, :4], rtol=0, atol=1e-5)


def test_sizes_are_filled_in_and_said_ones_are_kept(students: ModuleType) -> None:
    config = students.built("transformers:CLIPConfig", PAIR, ("text_embeds",), CLIP).model.config
    assert (config.text_config.vocab_size, config.vision_config.image_size) == (20, 8)
    args = {**CLIP, "text_config": {**CLIP["text_config"], "vocab_size": 30}}  # type: ignore[dict-item]
    assert (
        students.built("transformers:CLIPConfig", PAIR, ("text_embeds",), args).model.config.text_config.vocab_size
        == 30
    )


@pytest.mark.parametrize(
    ("config", "takes", "args", "outputs", "message"),
    [
        ("ClipConfig", PAIR, CLIP, ("text_embeds",), "no config class 'ClipConfig', did you mean 'CLIPConfig'"),
        ("CLIPConfig", PAIR, {"text_config": {"hiden_size": 8}}, (), "args.text_config.hiden_size: .* 'hidden_size'"),
        ("CLIPConfig", PAIR, {"text_config": 8}, (), "args.text_config: a mapping of arguments is needed, and not 8"),
        ("CLIPConfig", PAIR, {"text_confg": {}}, (), "args.text_confg: CLIPConfig .*did you mean 'text_config'"),
        ("CLIPConfig", PAIR, {"num_labels": 3}, (), "args.num_labels: the source's classes say this"),
        (
            "CLIPConfig",
            PAIR,
            {**CLIP, "text_config": SIZE},
            ("text_embeds",),
            "eos_token_id: .* none of the tokenizer's",
        ),
        ("CLIPConfig", PAIR, CLIP, ("hidden.1",), "has two towers and no hidden.1"),
        (
            "CLIPConfig",
            IMAGE,
            CLIP,
            ("text_embeds",),
            "the text tower is asked for, and the student is given no input_ids",
        ),
        (
            "BertConfig",
            PAIR,
            SIZE,
            ("logits",),
            "inputs.pixel_values: BertForSequenceClassification takes no such input",
        ),
        ("LlavaConfig", IMAGE, LLAVA, ("logits",), "reads an image and a text, and is given no input_ids"),
        ("ViTConfig", IMAGE, {**SIZE, "patch_size": 4}, ("text_embeds",), "returns no text_embeds|takes no such"),
    ],
)
def test_what_a_config_cannot_be_is_refused(
    students: ModuleType,
    config: str,
    takes: tuple[str, ...],
    args: dict[str, Any],
    outputs: tuple[str, ...],
    message: str,
) -> None:
    with pytest.raises(StageError, match=message):
        students.built(f"transformers:{config}", takes, outputs, args)


def test_a_task_that_a_config_has_not_is_refused(students: ModuleType) -> None:
    with pytest.raises(StageError, match="no task 'causal-ml', did you mean 'causal-lm'"):
        students.built("transformers:BertConfig", TEXT, ("logits",), SIZE, task="causal-ml")
    with pytest.raises(StageError, match="ViTConfig has no model for causal-lm; it has image-classification"):
        students.built("transformers:ViTConfig", IMAGE, ("logits",), SIZE, task="causal-lm")
    with pytest.raises(StageError, match="a cnn is no model of transformers"):
        students.built("cnn", IMAGE, ("logits",), task="features")
