"""Writes with the exported graphs, the likeliest token each time. Every export of a student that writes holds a copy of
this file, so it imports numpy and nothing of its project.

Rows of a batch may be prompts of different lengths, padded on the right: what is padding is never read. It refuses
logits that are no numbers.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Run = Callable[[str, Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]


class Writing:
    """Prompts that are being written on. `run(name, {input: array})` runs the graph of that name; `generation` is what
    export.json says under that word."""

    def __init__(self, run: Run, generation: Mapping[str, Any]) -> None:
        self._run, self._cache, self._images = run, generation["cache"], generation["image_tokens"]
        self._past: dict[str, np.ndarray] = {}

    def begin(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Read prompts: `input_ids` int64 (B, T), its mask `attention_mask`, and of students that see `pixel_values`.
        Returns the logits of the next token, float32 (B, vocabulary)."""
        ids = inputs["input_ids"]
        self._mask = inputs.get("attention_mask", np.ones_like(ids))
        embeds = self._run("embed", {"input_ids": ids})["inputs_embeds"]
        if self._images:
            image = self._run("image", {"pixel_values": inputs["pixel_values"]})["image_tokens"]
            embeds = np.concatenate([image, embeds], 1)
            self._mask = np.concatenate([np.ones((len(ids), self._images), np.int64), self._mask], 1)
        for layer, (heads, width) in enumerate(self._cache):
            for kind in ("key", "value"):
                self._past[f"past.{layer}.{kind}"] = np.zeros((len(ids), heads, 0, width), np.float32)
        places = np.tile(np.arange(self._mask.shape[1], dtype=np.int64), (len(ids), 1))
        self._read = self._mask.sum(1)
        last: np.ndarray = self._decoded(embeds, places)[np.arange(len(ids)), self._read - 1]
        return last

    def step(self, tokens: np.ndarray) -> np.ndarray:
        """Read one more token of each row, int64 (B,). Returns the logits of the next, float32 (B, vocabulary)."""
        embeds = self._run("embed", {"input_ids": tokens[:, None]})["inputs_embeds"]
        self._mask = np.concatenate([self._mask, np.ones((len(tokens), 1), np.int64)], 1)
        logits = self._decoded(embeds, self._read[:, None])
        self._read = self._read + 1
        return logits[:, 0]

    def _decoded(self, embeds: np.ndarray, places: np.ndarray) -> np.ndarray:
        feed = {"inputs_embeds": embeds, "attention_mask": self._mask, "position_ids": places, **self._past}
        said = self._run("decoder", feed)
        self._past = {name: said[name.replace("past", "present")] for name in self._past}
        return said["logits"]


def write(run: Run, generation: Mapping[str, Any], inputs: Mapping[str, np.ndarray], most: int) -> np.ndarray:
    """At most `most` tokens behind each prompt, int64 (B, most); -1 behind the end of a row's text. Raises ValueError
    for a prompt that leaves no room, and for logits that are not finite."""
    inputs = _open_ended(inputs, generation["end"])
    rows, length = inputs["input_ids"].shape
    longest = generation["longest"]
    room = most if longest is None else min(most, longest - generation["image_tokens"] - length)
    if room < 1:
        raise ValueError(f"the prompt has {length} tokens and leaves no room in the {longest} that the model can hold")
    tokens, writing = np.full((rows, most), -1, np.int64), Writing(run, generation)
    going, chosen = np.ones(rows, bool), np.zeros(rows, np.int64)
    for place in range(room):
        logits = writing.begin(inputs) if place == 0 else writing.step(chosen)
        if not np.isfinite(logits).all():
            raise ValueError("the logits of the next token are not finite (NaN or infinity)")
        chosen = logits.argmax(1)
        going &= ~np.isin(chosen, generation["end"])
        if not going.any():
            break
        tokens[going, place] = chosen[going]
    return tokens


def _open_ended(inputs: Mapping[str, np.ndarray], end: list[int]) -> dict[str, np.ndarray]:
    """Prompts without the end that a tokenizer puts behind a text: what is ended is not written on."""
    ids = inputs["input_ids"]
    mask = inputs.get("attention_mask", np.ones_like(ids))
    closed = np.isin(ids, end) | (mask == 0)
    closed[:, 0] = False  # a prompt of nothing but an end is that token
    real = ids.shape[1] - np.argmin(closed[:, ::-1], axis=1)
    width = int(real.max())
    kept = (np.arange(width) < real[:, None]).astype(np.int64)
    return {**inputs, "input_ids": ids[:, :width], "attention_mask": kept}
