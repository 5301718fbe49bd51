"""Tiny random models of images and text, each in a folder with its processor, as save_pretrained writes them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

WORDS = ("a", "red", "green", "cat", "dog", "bird", "on", "the", "mat", "tree", "of", "photo", "user", "says", "where")
SPECIAL = ("[PAD]", "[UNK]", "[BOS]", "[EOS]")
BASE = 300  # tokens of the base vocabulary: 256 of them are bins
ROPE = {"rope_type": "default", "rope_theta": 10000.0}


def tokenizer(*added: str, longest: int = 64) -> Any:
    """Whole words; 0 pads, 1 is unknown, 2 begins a text. `added` tokens come behind the base vocabulary."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = [*SPECIAL, *WORDS]
    words += [f"w{number}" for number in range(BASE - len(words))]
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing("[BOS] $A", None, [("[BOS]", 2)])
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "bos_token": "[BOS]", "eos_token": "[EOS]"}
    fast = PreTrainedTokenizerFast(tokenizer_object=made, **names, model_max_length=longest)
    fast.add_tokens(list(added), special_tokens=True)
    return fast


def text_settings(**changes: Any) -> dict[str, Any]:
    """Of a language model with 2 layers and grouped heads."""
    sizes = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)
    ids = dict(bos_token_id=2, eos_token_id=3, pad_token_id=0)
    rest = dict(vocab_size=BASE + 20, intermediate_size=48, max_position_embeddings=64, initializer_range=0.3)
    return {**sizes, **ids, **rest, **changes}


def vision_settings(**changes: Any) -> dict[str, Any]:
    sizes = dict(hidden_size=24, num_hidden_layers=3, num_attention_heads=3, intermediate_size=32)
    return {**sizes, "image_size": 16, "patch_size": 8, **changes}


def image_processor(kind: str = "CLIPImageProcessorPil", **changes: Any) -> Any:
    import transformers

    settings: dict[str, Any] = dict(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    return getattr(transformers, kind)(**{**settings, "image_mean": [0.5, 0.4, 0.3], **changes})


def _llava(folder: Path) -> Any:
    import transformers

    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**vision_settings(initializer_factor=6.0)),
        text_config=transformers.LlamaConfig(**text_settings()),
        image_token_index=BASE,
        vision_feature_layer=-2,
    )
    transformers.LlavaProcessor(
        image_processor(),
        tokenizer("<image>"),
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    ).save_pretrained(folder)
    return transformers.LlavaForConditionalGeneration(config)


def _paligemma(folder: Path) -> Any:
    import transformers

    words = tokenizer("<image>", *(f"<loc{number:04}>" for number in range(3)))
    processing = image_processor("SiglipImageProcessorPil", size={"height": 16, "width": 16}, crop_size=None)
    processing.image_seq_length = 4
    transformers.PaliGemmaProcessor(processing, words).save_pretrained(folder)
    config = transformers.PaliGemmaConfig(
        vision_config=transformers.SiglipVisionConfig(**vision_settings(projection_dim=32)),
        text_config=transformers.GemmaConfig(**text_settings(head_dim=8, vocab_size=2000)),
        image_token_index=BASE,
        projection_dim=32,
    )
    return transformers.PaliGemmaForConditionalGeneration(config)


def _qwen2_vl(folder: Path) -> Any:
    import transformers

    pixels = dict(patch_size=4, temporal_patch_size=2, merge_size=2, min_pixels=256, max_pixels=256)
    transformers.Qwen2VLImageProcessorPil(**pixels).save_pretrained(folder)
    config = transformers.Qwen2VLConfig(
        vision_config=dict(depth=2, embed_dim=24, num_heads=3, hidden_size=32, patch_size=4, mlp_ratio=2),
        text_config=text_settings(rope_parameters={"rope_type": "default", "mrope_section": [1, 1, 2]}),
        image_token_id=BASE,
        video_token_id=BASE + 1,
        vision_start_token_id=BASE + 2,
        vision_end_token_id=BASE + 3,
    )
    return transformers.Qwen2VLForConditionalGeneration(config)


def _idefics3(folder: Path, split: bool = False) -> Any:
    import transformers

    tiles = [f"<row_{row}_col_{column}>" for row in (1, 2) for column in (1, 2)]
    words = tokenizer("<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>", *tiles)
    longest = 32 if split else 16
    processing = transformers.Idefics3ImageProcessorPil(
        size={"longest_edge": longest}, max_image_size={"longest_edge": 16}, do_image_splitting=split
    )
    transformers.Idefics3Processor(processing, words, image_seq_len=1).save_pretrained(folder)
    config = transformers.Idefics3Config(
        vision_config=vision_settings(),
        text_config=transformers.LlamaConfig(**text_settings()),
        image_token_id=BASE,
        scale_factor=2,
        pad_token_id=0,
    )
    return transformers.Idefics3ForConditionalGeneration(config)


MODELS: dict[str, Callable[[Path], Any]] = {
    "llava": _llava,
    "paligemma": _paligemma,
    "qwen2-vl": _qwen2_vl,
    "idefics3": _idefics3,
    "idefics3-tiles": lambda folder: _idefics3(folder, split=True),
}
PROMPTS = {
    "llava": "user <image> {text} says",
    "paligemma": "<image>{text}",
    "qwen2-vl": "user <|vision_start|><|image_pad|><|vision_end|> {text} says",
    "idefics3": "user <image> {text} says",
    "idefics3-tiles": "user <image> {text} says",
}


def save_model(name: str, folder: Path) -> Path:
    """The folder, with a random model and its processor in it."""
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    MODELS[name](folder).save_pretrained(folder)
    return folder


def save_agent(folder: Path) -> Path:
    """The stand-in for Magma: random weights, its own code beside them, and a processor in Magma's form."""
    import json
    import shutil

    from transformers import LlamaConfig
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    shutil.copytree(Path(__file__).parent / "agent", folder, ignore=shutil.ignore_patterns("__pycache__"))
    tokenizer("<image>").save_pretrained(folder)
    reference = "modeling_agent.AgentFor{}"
    config = {
        "model_type": "agent-for-tests",
        "architectures": ["AgentForCausalLM"],
        "auto_map": {
            "AutoConfig": "modeling_agent.AgentConfig",
            "AutoModelForCausalLM": reference.format("ConditionalGeneration"),
        },
        "text_config": LlamaConfig(**text_settings()).to_dict(),
        "image_token_index": BASE,
        "tokenizer_vocab_size": BASE,
    }
    (folder / "config.json").write_text(json.dumps(config))
    processing = {"processor_class": "AgentProcessor", "auto_map": {"AutoProcessor": "processing_agent.AgentProcessor"}}
    (folder / "processor_config.json").write_text(json.dumps(processing))
    kind = get_class_from_dynamic_module(reference.format("CausalLM"), str(folder))
    kind._supports_sdpa, kind.tie_weights = True, lambda self, *_, **__: None
    torch.manual_seed(0)
    model = kind(kind.config_class.from_pretrained(folder))
    model.save_pretrained(folder / "saved")
    for file in (folder / "saved").glob("*.safetensors"):
        file.rename(folder / file.name)
    shutil.rmtree(folder / "saved")
    return folder
