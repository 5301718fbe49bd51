"""`preprocessor_config.json` and the tokenizer's files, as transformers reads them beside a model.

The plain view, its shorter side at the size and the centre cut out, is what CLIPImageProcessor does in Pillow. It
refuses a student that resizes the view once more: no processor of transformers does that.
"""

import json
from pathlib import Path
from typing import Any

from ....errors import StageError
from ....student.files.saved import SavedStudent
from ....tokenizer import load_tokenizer

_BILINEAR = 2


def write_processor(saved: SavedStudent, folder: Path) -> None:
    """Write what the student's images and texts need. Raises StageError for what transformers cannot express."""
    for name, source in saved.student.takes.items():
        if source.image is not None:
            size = source.image.size or saved.shape.size
            if size != saved.shape.size:
                raise StageError(
                    f"inputs.{name}.image.size: the student sees views of {saved.shape.size} pixels at {size}, and no "
                    "processor of transformers resizes twice; --to onnx holds both"
                )
            content = _processor(size, list(source.image.mean), list(source.image.std))
            (folder / "preprocessor_config.json").write_text(json.dumps(content, indent=1) + "\n", "utf-8")
        elif source.tokenizer is not None:
            tokenizer = load_tokenizer(Path(source.tokenizer), f"inputs.{name}.tokenizer")
            longest = saved.shape.completed(saved.student).inputs[name].longest
            if longest is not None:
                tokenizer.model_max_length = longest
            tokenizer.save_pretrained(folder)


def _processor(size: int, mean: list[float], std: list[float]) -> dict[str, Any]:
    """Grey models read RGB here, each channel normalised alike."""
    three = {"image_mean": mean * (3 // len(mean)), "image_std": std * (3 // len(std))}
    cut = {"do_center_crop": True, "crop_size": {"height": size, "width": size}}
    resize = {"do_resize": True, "size": {"shortest_edge": size}, "resample": _BILINEAR}
    scale = {"do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "do_convert_rgb": True}
    return {"image_processor_type": "CLIPImageProcessor", **resize, **cut, **scale, **three}
