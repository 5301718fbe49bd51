"""Students that are image classifiers of transformers, built from a config class. Nothing is downloaded."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from torch import Tensor, nn

from ...capture import listen, parse_point
from ...capture.points import nearest
from ...errors import StageError


class TransformersStudent(nn.Module):
    """Wraps a classifier so that it returns the asked points; without any but `logits` nothing listens."""

    def __init__(self, model: nn.Module, outputs: frozenset[str]) -> None:
        super().__init__()
        self.model = model
        self.points = tuple(sorted(outputs))
        for point in self.points:
            parse_point(point)

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{"pixel_values": (B, C, H, W)} -> {point: (B, ...)}."""
        if self.points == ("logits",):
            return {"logits": self.model(pixel_values=inputs["pixel_values"]).logits}
        with listen(self.model, self.points) as heard:
            self.model(pixel_values=inputs["pixel_values"])
            return heard.collect()


def build_transformers_student(
    name: str, args: Mapping[str, Any], classes: int, channels: int, size: int, outputs: frozenset[str]
) -> TransformersStudent:
    """The classifier of config class `name` (`ViTConfig`), randomly initialised.

    `image_size` and `num_channels` are filled in unless `args` has them, `num_labels` always. Raises StageError for a
    class that is no image classifier's, arguments it does not have, and sizes that transformers refuses.
    """
    from transformers import AutoModelForImageClassification

    config_class = _config_class(name)
    known = _arguments(config_class)
    for unknown in sorted(set(args) - set(known)):
        raise StageError(f"args.{unknown}: {name} has no such argument{nearest(unknown, known)}")
    given = {"image_size": size, "num_channels": channels, **args}
    try:
        config = config_class(**{key: value for key, value in given.items() if key in known}, num_labels=classes)
        config.architectures = config.architectures or []  # where a config has two classes, None is not taken
        model = AutoModelForImageClassification.from_config(config)
    except StageError:
        raise
    except Exception as error:  # whatever a config class or a model's constructor raises for its arguments
        reason = (str(error).strip() or type(error).__name__).replace("\n", " ")
        raise StageError(f"args: transformers cannot build a model from this {name}: {reason}") from error
    return TransformersStudent(model, outputs)


def _config_class(name: str) -> type[Any]:
    """A config class of transformers that has an image classifier."""
    import transformers
    from transformers import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING as MAPPING

    found = getattr(transformers, name, None)
    if not isinstance(found, type) or found not in MAPPING:
        known = [kind.__name__ for kind in MAPPING.keys()]
        raise StageError(
            f"transformers has no image classifier for {name!r}{nearest(name, known)}; write transformers:ViTConfig, "
            "transformers:ResNetConfig or the config class of any other image classifier"
        )
    return found


def _arguments(config_class: type[Any]) -> list[str]:
    """What a config class declares. It would take, and ignore, any other word as well."""
    return [field.name for field in fields(config_class) if field.init]
