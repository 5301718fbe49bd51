"""What plain transformers says of each row by itself: eager attention, no batch, no padding, no code of ours."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from teachercache.cache import Ragged, open_cache
from teachercache.data import decode, decode_field
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache

BINS = np.linspace(-1, 1, 256)


def build(job: CacheJob) -> dict[str, Any]:
    build_cache(job)
    cache = open_cache(job.address, job.fingerprint)
    return dict(cache.read(np.arange(cache.rows), list(job.signals)).signals)


def cut(found: Any, row: int, shape: tuple[int, ...]) -> np.ndarray:
    """One row, without its padding, which must be 0."""
    if not isinstance(found, Ragged):
        return np.asarray(found[row])
    whole = np.asarray(found.values[row])
    kept: np.ndarray = whole[tuple(slice(0, size) for size in shape)]
    assert np.count_nonzero(whole) == np.count_nonzero(kept)
    return kept


@dataclass(frozen=True)
class Said:
    """One row: ids (T,), what each is (0 text, 1 image, 2 action), and the model's output."""

    ids: torch.Tensor
    kinds: np.ndarray
    output: Any
    tower: Any
    projected: torch.Tensor

    def places(self, span: str) -> np.ndarray:
        return np.flatnonzero(self.kinds == ("text", "image", "action").index(span))


def views_of(job: CacheJob) -> list[tuple[np.ndarray, str, np.ndarray]]:
    """Pixels, text and action of each row of the cache, in its order."""
    found = []
    for shard in job.source.shards():
        opened = job.source.open(shard)
        parameters = job.policy.draw(opened.ids)
        for row in range(len(opened) * job.policy.count):
            sample = opened[row // job.policy.count]
            pixels = job.policy.replay(decode(sample, 3), parameters[row])
            found.append((pixels, decode_field(sample, "caption", "text"), decode_field(sample, "move", "array")))
    return found


def action_ids(action: np.ndarray, vocabulary: int) -> list[int]:
    """As OpenVLA's tokenizer has it: the bin is counted from 1, and subtracted from the vocabulary."""
    return [vocabulary - int(np.digitize(x, BINS)) for x in action]


def plain_rows(job: CacheJob, tower: str, projector: str, vocabulary: int, actions: bool = True) -> list[Said]:
    """`tower` and `projector` are paths in the model."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    model: Any = AutoModelForImageTextToText.from_pretrained(job.folder, attn_implementation="eager").eval()
    processor: Any = AutoProcessor.from_pretrained(job.folder)
    return [_said(model, processor, job, row, tower, projector, vocabulary, actions) for row in views_of(job)]


def _said(
    model: Any,
    processor: Any,
    job: CacheJob,
    row: tuple[np.ndarray, str, np.ndarray],
    tower: str,
    projector: str,
    vocabulary: int,
    actions: bool,
) -> Said:
    pixels, text, action = row
    assert job.teacher.prompt is not None
    prompt = job.teacher.prompt.replace("{text}", text)
    made = dict(processor(images=[[Image.fromarray(pixels)]], text=[prompt], return_tensors="pt"))
    made.pop("labels", None)
    if actions:
        more = torch.tensor([action_ids(action, vocabulary)])
        made["input_ids"] = torch.cat([made["input_ids"], more], dim=1)
        made["attention_mask"] = torch.ones_like(made["input_ids"])
    heard: dict[str, Any] = {}
    hooks = [
        model.get_submodule(path).register_forward_hook(lambda _, __, out, name=name: heard.__setitem__(name, out))
        for name, path in (("tower", tower), ("projector", projector))
    ]
    with torch.inference_mode():
        output = model(**made, output_hidden_states=True, output_attentions=True)
    for hook in hooks:
        hook.remove()
    ids = made["input_ids"][0]
    kinds = np.where(ids.numpy() == model.config.image_token_id, 1, 0)
    if actions:
        kinds[-len(action) :] = 2
    return Said(ids, kinds, output, heard["tower"], heard["projector"])
