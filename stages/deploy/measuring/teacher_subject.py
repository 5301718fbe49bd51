"""What is timed of a teacher, in the process that measures it: the model of phase one, and what it is given.

A teacher that sees images alone, or reads texts alone, is given noise: views, and texts as long as may be. Any other is
given held-out samples, over and over, because only they say how its inputs go together; it is then run as phase one
runs it when it hears nothing. It refuses a teacher of that kind without samples.
"""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ....data import Source, SourceSpec, ViewPolicy, ViewsSpec, open_source
from ...errors import StageError
from ...remote_source import remote_tars
from ...teacher.families.family import family_of, find_folder, open_teacher, teacher_inputs
from ...teacher.families.loading import load_pretrained
from ...teacher.inputs.loader import PreparedPieces
from ...teacher.inputs.preprocessing import Preprocessor
from ...teacher.inputs.tokens import load_tokens
from ...teacher.spec import TeacherSpec

_AUTO = {  # the families that are given noise, and how each is loaded
    "image-classifier": "AutoModelForImageClassification",
    "text-classifier": "AutoModelForSequenceClassification",
    "text-encoder": "AutoModel",
    "causal-lm": "AutoModelForCausalLM",
}
_MOST_TOKENS = 512  # of a text, where nobody says how long the teacher's are
Inputs = Callable[[int], Mapping[str, Tensor]]


@dataclass(frozen=True, slots=True)
class TeacherSubject:
    """The model on its device, what makes a batch of n on the CPU, and one pass."""

    model: nn.Module
    inputs: Inputs
    run: Callable[[Mapping[str, Tensor]], object]


def teacher_subject(request: Mapping[str, Any], device: torch.device) -> TeacherSubject:
    """The teacher that `request` names, with the weights, dtype and autocast of phase one. Raises StageError for one
    that cannot be loaded or called."""
    spec = TeacherSpec.model_validate(request["teacher"])
    folder = find_folder(spec)
    family = family_of(spec, folder)
    if family not in _AUTO:
        return _of_samples(spec, folder, request, device)
    model = load_pretrained(_AUTO[family], spec, folder, device)
    inputs = _views(folder, *request["view"]) if family == "image-classifier" else _texts(spec, folder, model)
    once = {"use_cache": False} if family == "causal-lm" else {}
    autocast = torch.autocast(device.type, dtype=getattr(torch, spec.autocast)) if spec.autocast else nullcontext()

    def run(given: Mapping[str, Tensor]) -> object:
        with autocast:
            return model(**given, **once)

    return TeacherSubject(model, inputs, run)


def _views(folder: Path, size: int, channels: int) -> Inputs:
    prepare = Preprocessor(folder, size, channels)
    return lambda batch: prepare(torch.randint(0, 256, (batch, size, size, channels), dtype=torch.uint8).numpy())


def _texts(spec: TeacherSpec, folder: Path, model: Any) -> Inputs:
    """Texts as long as teacher.max_tokens, or as the teacher takes, up to `_MOST_TOKENS`."""
    tokens = min(load_tokens(spec, folder).longest, spec.max_tokens or _MOST_TOKENS)
    words = int(model.get_input_embeddings().num_embeddings)

    def inputs(batch: int) -> Mapping[str, Tensor]:
        ids = torch.randint(0, words, (batch, tokens))
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    return inputs


def _of_samples(spec: TeacherSpec, folder: Path, request: Mapping[str, Any], device: torch.device) -> TeacherSubject:
    if request.get("source") is None:
        raise StageError(f"a teacher of family {family_of(spec, folder)} is measured on held-out samples")
    size, channels = request["view"]
    source = open_source(SourceSpec.model_validate(request["source"]), remote_tars)
    policy = ViewPolicy(ViewsSpec(size=size, channels=channels))
    prepare = teacher_inputs(spec, folder, source, policy)
    teacher: Any = open_teacher(spec, folder, {}, device)
    shard = _shard_with_samples(source)

    def inputs(batch: int) -> Mapping[str, Tensor]:
        piece = (shard, 0, min(batch, len(source.open(shard))), True)
        prepared = PreparedPieces(source, policy, prepare, [piece], False)[0]
        again = torch.arange(batch) % prepared.rows
        return {name: values[again] for name, values in prepared.inputs.items()}

    return TeacherSubject(teacher.model, inputs, teacher)


def _shard_with_samples(source: Source) -> str:
    found = next((shard for shard in source.shards() if len(source.open(shard))), None)
    if found is None:
        raise StageError("the held-out source has no sample to measure the teacher on")
    return found
