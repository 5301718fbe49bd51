"""Processors of images and text: how each is called, and what it makes cut into rows."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from ...errors import StageError
from ..spec import TeacherSpec


def load_processor(spec: TeacherSpec, folder: Path) -> Any:
    """The processor of images and text in a teacher's folder, padding on the right."""
    from transformers import AutoProcessor

    try:
        processor: Any = AutoProcessor.from_pretrained(
            folder, local_files_only=True, trust_remote_code=spec.trust_remote_code
        )
    except (OSError, ValueError, ImportError, KeyError, AttributeError, TypeError) as error:
        raise StageError(
            f"teacher.model: the processor in {folder} cannot be loaded ({error}); save it beside the weights"
        ) from error
    tokenizer = getattr(processor, "tokenizer", None)
    if tokenizer is None or not hasattr(processor, "image_processor"):
        raise StageError(f"teacher.model: the processor in {folder} is not one of images and text")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    return processor


def processed(processor: Any, images: Sequence[Image.Image], texts: Sequence[str]) -> dict[str, Tensor]:
    """What a processor makes of n images and n texts: tensors (n, ...), padded on the right.

    Magma's takes `texts`, and lays the crops of all images end to end; its model wants them image by image. Raises what
    the processor raises.
    """
    if "texts" in inspect.signature(processor.__call__).parameters:
        made = processor(texts=list(texts), images=list(images), padding=True, return_tensors="pt")
        crops, sizes = made["pixel_values"], made["image_sizes"]
        rows = {"pixel_values": crops.unflatten(0, (len(images), -1)), "image_sizes": sizes[:, None]}
        return {**{name: made[name] for name in ("input_ids", "attention_mask")}, **rows}
    made = processor(images=[[image] for image in images], text=list(texts), padding=True, return_tensors="pt")
    tensors = {name: value for name, value in made.items() if isinstance(value, Tensor) and name != "labels"}
    return {name: by_row(name, value, len(images)) for name, value in tensors.items()}


def by_row(name: str, value: Tensor, rows: int) -> Tensor:
    """What a processor lays end to end (Qwen2-VL's patches) as rows of equal size."""
    if len(value) == rows:
        return value
    if len(value) % rows:
        raise StageError(f"teacher.model: the processor makes {name} {tuple(value.shape)} of {rows} rows of one size")
    folded: Tensor = value.unflatten(0, (rows, -1))
    return folded
