"""What can happen to an image in a view, one operation a file. To add one: a class like these, and its line here."""

from collections.abc import Callable
from typing import Any

from .caption import Caption
from .crop import Crop
from .erasing import Erasing
from .flip import Flip
from .jitter import Jitter
from .mixing import Cutmix, Mixing, Mixup
from .operation import Operation
from .randaugment import RandAugment
from .token_dropout import TokenDropout

__all__ = ["OPERATIONS", "Crop", "Mixing", "Operation"]

# By the `op` of its settings; each takes those settings (spec.CropSpec, ...).
OPERATIONS: dict[str, Callable[[Any], Operation | Mixing]] = {
    "crop": lambda spec: Crop(spec.scale, spec.ratio),
    "flip": lambda spec: Flip(spec.p),
    "jitter": lambda spec: Jitter((spec.brightness, spec.contrast, spec.saturation)),
    "randaugment": lambda spec: RandAugment(spec.number, spec.magnitude, spec.fill),
    "caption": lambda spec: Caption(),
    "erasing": lambda spec: Erasing(spec.p, spec.scale, spec.ratio, spec.fill),
    "mixup": lambda spec: Mixup(spec.p, spec.share),
    "cutmix": lambda spec: Cutmix(spec.p, spec.scale, spec.ratio),
    "token_dropout": lambda spec: TokenDropout(spec.p, spec.share),
}
