"""A student that writes texts as the graphs that a runtime needs, each a torch module of plain tensors.

`image`: pixel_values (B, C, H, W) -> image_tokens (B, n, d), of students that see. `embed`: input_ids (B, T) ->
inputs_embeds (B, T, d). `decoder`: inputs_embeds (B, T, d), attention_mask int64 (B, P + T), position_ids int64 (B, T)
and the keys and values of P tokens before, each (B, heads, P, width) -> logits (B, T, vocabulary) and keys and values
of P + T. It refuses students that write otherwise.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from ....capture.anatomy import anatomy
from ....errors import StageError
from ....student.files.saved import load_student
from ....student.models.image_before_text import reads_images_as_text
from ....student.models.transformers_student import TransformersStudent
from ....tokenizer import load_tokenizer
from ...evaluation.candidate import Candidate

Axes = Mapping[int, str]


@dataclass(frozen=True)
class Part:
    """One graph: `axes` are those of each input that may differ, by name; with the `example` inputs it is traced."""

    module: nn.Module
    example: Mapping[str, Tensor]
    axes: Mapping[str, Axes]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class WriterParts:
    """`generation` is what export.json says of how it writes: how many `image_tokens` stand before the text, the form
    of each layer's `cache` (heads, width), the `end` tokens, and the most tokens that it can hold (`longest`)."""

    student: TransformersStudent
    parts: Mapping[str, Part]
    generation: Mapping[str, Any]


def writer_parts(candidate: Candidate) -> WriterParts:
    """The graphs of a student that writes. Raises StageError for one whose language model keeps no plain cache."""
    student = load_student(candidate.folder, ("logits",))
    assert isinstance(student, TransformersStudent)
    model: Any = student.model
    shapes = candidate.saved.shape.completed(candidate.saved.student).inputs
    parts: dict[str, Part] = {}
    with torch.no_grad():
        count = 0
        if reads_images_as_text(model):
            pixels = torch.randn(3, *(side or 1 for side in shapes["pixel_values"].shape))
            parts["image"] = _image(model, pixels)
            count = parts["image"].module(pixels)[0].shape[1]
        cache = _cache_form(model, candidate)
        parts["embed"], width = _embed(model)
        parts["decoder"] = _decoder(model, width, cache, _prefix(model, count))
    generation = {
        "image_tokens": count,
        "cache": [list(one) for one in cache],
        "end": _end(model, candidate),
        "longest": getattr(model.config.get_text_config(), "max_position_embeddings", None),
    }
    return WriterParts(student, parts, generation)


class _Image(nn.Module):
    """What the projector makes of the tower, as `get_image_features` does and with a batch that may differ."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        places = anatomy(model)
        self.tower, self.projector = model.get_submodule(places.vision), model.get_submodule(places.projector)
        layer = getattr(model.config, "vision_feature_layer", None)
        self.layers = [layer] if isinstance(layer, int) else layer
        self.skipped = int(getattr(model.config, "vision_feature_select_strategy", None) == "default")

    def forward(self, *given: Tensor) -> tuple[Tensor]:
        (pixel_values,) = given
        if self.layers is None:
            return (self.projector(self.tower(pixel_values=pixel_values).last_hidden_state),)
        hidden = self.tower(pixel_values=pixel_values, output_hidden_states=True).hidden_states
        return (self.projector(torch.cat([hidden[layer][:, self.skipped :] for layer in self.layers], -1)),)


class _Embed(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.table = model.get_input_embeddings()

    def forward(self, *given: Tensor) -> tuple[Tensor]:
        (input_ids,) = given
        return (self.table(input_ids),)


class _Decoder(nn.Module):
    """The first `prefix` places are seen by all, as PaliGemma sees its image; others by themselves and those behind, in
    layers with a window by as many as that."""

    def __init__(self, model: Any, prefix: int) -> None:
        super().__init__()
        config = model.config.get_text_config()
        self.asked = _Headed(model) if reads_images_as_text(model) else model
        self.prefix, self.window = prefix, getattr(config, "sliding_window", None)
        self.mixed = "sliding_attention" in (getattr(config, "layer_types", None) or ())

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        embeds, mask, positions, *past = given
        cache: Any = DynamicCache(list(zip(past[::2], past[1::2], strict=True)))
        said = self.asked(
            inputs_embeds=embeds,
            attention_mask=self._bias(past[0].shape[2], embeds, mask),
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        )
        return (said.logits, *(tensor for layer in cache.layers for tensor in (layer.keys, layer.values)))

    def _bias(self, before: int, embeds: Tensor, mask: Tensor) -> Tensor | dict[str, Tensor]:
        """0 for what is seen and the least number for what is not, (B, 1, T, P + T); one for each kind of layer of a
        model that has two."""
        places = torch.arange(before + embeds.shape[1])
        seen = places[None, :] <= places[before:, None]
        if self.prefix:
            seen = seen | (places < self.prefix)[None, :]
        full = seen[None] & (mask[:, None, :] > 0)
        count = mask.cumsum(1)  # a window counts tokens: padding between a prompt and what is written is none
        near = full if self.window is None else full & (count[:, before:, None] - count[:, None, :] < self.window)
        full, near = (torch.where(one[:, None], 0.0, torch.finfo(embeds.dtype).min) for one in (full, near))
        return {"full_attention": full, "sliding_attention": near} if self.mixed else near


class _Headed(nn.Module):
    """The language model of one that sees, with its head: as a whole it would look for the image."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.language, self.head = _language(model), model.get_output_embeddings()

    def forward(self, **given: Any) -> Any:
        said = self.language(**given)
        said.logits = self.head(said.last_hidden_state)
        return said


def _image(model: Any, pixels: Tensor) -> Part:
    return Part(_Image(model).eval(), {"pixel_values": pixels}, {"pixel_values": {0: "batch"}}, ("image_tokens",))


def _embed(model: Any) -> tuple[Part, int]:
    """The graph, and how wide a token is."""
    module, ids = _Embed(model).eval(), torch.zeros(3, 5, dtype=torch.int64)
    axes = {"input_ids": {0: "batch", 1: "length"}}
    return Part(module, {"input_ids": ids}, axes, ("inputs_embeds",)), module(ids)[0].shape[-1]


def _decoder(model: Any, width: int, cache: list[tuple[int, int]], prefix: int) -> Part:
    rows, length, before = 3, 4, 6
    example = {
        "inputs_embeds": torch.randn(rows, length, width),
        "attention_mask": torch.ones(rows, before + length, dtype=torch.int64),
        "position_ids": torch.arange(before, before + length)[None].repeat(rows, 1),
    }
    axes: dict[str, Axes] = {
        "inputs_embeds": {0: "batch", 1: "length"},
        "attention_mask": {0: "batch", 1: "past+length"},
        "position_ids": {0: "batch", 1: "length"},
    }
    for layer, (heads, size) in enumerate(cache):
        for kind in ("key", "value"):
            example[f"past.{layer}.{kind}"] = torch.randn(rows, heads, before, size)
            axes[f"past.{layer}.{kind}"] = {0: "batch", 2: "past"}
    kept = tuple(name.replace("past", "present") for name in example if name.startswith("past."))
    return Part(_Decoder(model, prefix).eval(), example, axes, ("logits", *kept))


def _language(model: Any) -> Any:
    return model.get_submodule(anatomy(model).language) if reads_images_as_text(model) else model.base_model


def _prefix(model: Any, image_tokens: int) -> int:
    """PaliGemma alone lets what stands before see what comes behind it."""
    return image_tokens if model.config.model_type == "paligemma" else 0


def _cache_form(model: Any, candidate: Candidate) -> list[tuple[int, int]]:
    """(heads, width) of each layer's keys, as a pass over one token leaves them."""
    cache: Any = DynamicCache()
    try:
        _language(model)(input_ids=torch.zeros(1, 1, dtype=torch.int64), past_key_values=cache, use_cache=True)
        kept: list[Any] = list(cache.layers)
        form = [(layer.keys.shape[1], layer.keys.shape[3]) for layer in kept]
        alike = all(layer.keys.shape == layer.values.shape for layer in kept)
    except Exception as error:  # whatever a model raises that keeps something else
        raise _other(model, candidate, str(error)) from error
    if not form or not alike:
        raise _other(model, candidate, "it keeps no keys and values of one form")
    return form


def _other(model: Any, candidate: Candidate, reason: str) -> StageError:
    return StageError(
        f"{candidate.folder}: {type(model).__name__} writes texts with another cache than of keys and values "
        f"({reason}); `--to hf` gives a folder whose model generates with transformers"
    )


def _end(model: Any, candidate: Candidate) -> list[int]:
    """The tokenizer's end of a text; the model's own, which may be nobody's choice, where the tokenizer has none."""
    for name, source in candidate.saved.student.takes.items():
        if source.tokenizer is not None:
            end = load_tokenizer(Path(source.tokenizer), f"inputs.{name}.tokenizer").eos_token_id
            if end is not None:
                return [end]
    end = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    return [] if end is None else [end] if isinstance(end, int) else list(end)
