"""Which class of transformers a config becomes: as `task` says, or as the student's outputs say.

It guesses nothing: a config that could be read in two ways (a language model that could classify) needs `task`.
"""

from collections.abc import Collection
from typing import Any

from ...capture.points import nearest
from ...errors import StageError

TASKS = {  # the class of transformers, and the mapping that says which configs have one
    "image-classification": ("AutoModelForImageClassification", "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING"),
    "text-classification": ("AutoModelForSequenceClassification", "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING"),
    "token-classification": ("AutoModelForTokenClassification", "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING"),
    "image-text-to-text": ("AutoModelForImageTextToText", "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING"),
    "causal-lm": ("AutoModelForCausalLM", "MODEL_FOR_CAUSAL_LM_MAPPING"),
    "masked-lm": ("AutoModelForMaskedLM", "MODEL_FOR_MASKED_LM_MAPPING"),
    "features": ("AutoModel", "MODEL_MAPPING"),
}
_GUESSED = (
    "image-classification",
    "text-classification",
    "image-text-to-text",
    "causal-lm",
)  # of logits, in this order
_LOGITS = ("logits", "logits.text")
_EMBEDS = ("image_embeds", "text_embeds", "logits_per_image", "logits_per_text")


def resolve_task(kind: type[Any], task: str | None, outputs: Collection[str]) -> str:
    """The task that a config of class `kind` is built for. Raises StageError for one that there is not, that the config
    has no model for, and for outputs that leave it open."""
    possible = [name for name in TASKS if _has(kind, name)]
    if task is not None:
        if task not in TASKS:
            raise StageError(f"task: no task {task!r}{nearest(task, TASKS)}; there are {', '.join(TASKS)}")
        if task not in possible:
            raise StageError(f"task: {kind.__name__} has no model for {task}; it has {', '.join(possible) or 'none'}")
        return task
    if any(name in outputs for name in _EMBEDS) or not any(name in outputs for name in _LOGITS):
        return "features"
    fitting = [name for name in _GUESSED if name in possible]
    if not fitting:
        raise StageError(f"{kind.__name__} has no model with logits; its tasks are {', '.join(possible) or 'none'}")
    if fitting == ["text-classification", "causal-lm"] and "masked-lm" not in possible:
        raise StageError(
            f"task: {kind.__name__} gives logits of classes (text-classification) or of its vocabulary (causal-lm): "
            "say which"
        )
    return fitting[0]


def model_of(config: Any, task: str, outputs: Collection[str]) -> Any:
    """A model with random weights for that task, in float32 whatever its config says.

    A tower's config alone becomes the tower with its projection where embeds are asked of it.
    """
    import torch
    import transformers

    kind = type(config)
    tower = getattr(transformers, kind.__name__.removesuffix("Config") + "ModelWithProjection", None)
    if task == "features" and tower is not None and any(name in outputs for name in _EMBEDS):
        return tower._from_config(config, dtype=torch.float32)
    return getattr(transformers, TASKS[task][0]).from_config(config, dtype=torch.float32)


def task_class(kind: type[Any], task: str) -> Any:
    """The class of transformers that a config of class `kind` has for a task. Raises StageError for none."""
    import transformers

    found = getattr(transformers, TASKS[resolve_task(kind, task, ())][1])[kind]
    return found[0] if isinstance(found, tuple) else found


def _has(kind: type[Any], task: str) -> bool:
    import transformers

    return kind in getattr(transformers, TASKS[task][1])
