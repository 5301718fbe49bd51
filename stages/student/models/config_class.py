"""A config of transformers from the YAML: its class by name, its arguments checked, its sizes filled in. No download.

It refuses words that the class does not declare (it would take, and ignore, any), at the top and in parts such as
`text_config`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any

from ...capture.points import nearest
from ...errors import StageError
from ..inputs.shape import InputShape

_OWN = ("id2label", "label2id", "num_labels")  # said by the source's classes


def find_config_class(name: str) -> type[Any]:
    """A config class of transformers by its name. Raises StageError with the nearest names."""
    import transformers
    from transformers import CONFIG_MAPPING, PreTrainedConfig

    found = getattr(transformers, name, None)
    if isinstance(found, type) and issubclass(found, PreTrainedConfig) and found is not PreTrainedConfig:
        return found
    known = [kind.__name__ for kind in CONFIG_MAPPING.values()]
    alike = [word for word in known if word.lower() == name.lower()] or known  # VitConfig means ViTConfig
    raise StageError(
        f"transformers has no config class {name!r}{nearest(name, alike)}; write transformers:ViTConfig, "
        "transformers:BertConfig, transformers:CLIPConfig or any other"
    )


def build_config(name: str, args: Mapping[str, Any], inputs: Mapping[str, InputShape], classes: int) -> Any:
    """The config of class `name` with `args`, and what they leave open filled in from what the student is given.

    Filled in where the class has such a field, in its parts too: `image_size`, `num_channels` (of an image input),
    `vocab_size`, `pad_token_id` (of a text input); `num_labels` always. Raises StageError for unknown arguments and for
    values that the class refuses.
    """
    kind = find_config_class(name)
    parts = _parts(kind, args)
    _check(args, kind, name, "args")
    for part, sub in parts.items():
        _check(args.get(part) or {}, sub, f"{part} of {name}", f"args.{part}")
    values = {**_fitting(known_facts(inputs), kind, parts), **args}
    for part, sub in parts.items():
        values[part] = {**_fitting(known_facts(inputs), sub, {}), **(args.get(part) or {})}
    return _made(kind, name, {**values, "num_labels": classes} if classes else values)


def known_facts(inputs: Mapping[str, InputShape]) -> dict[str, Any]:
    """What is known of the images and texts that a student is given, by the names that configs have for it."""
    found: dict[str, Any] = {}
    for shape in inputs.values():
        if shape.kind == "image":
            channels, *sides = shape.shape
            found |= {"num_channels": channels, "image_size": sides[0]}
        elif shape.kind == "tokens":
            found |= {"vocab_size": shape.vocabulary, "pad_token_id": shape.padding}
    return {field: value for field, value in found.items() if value is not None}


def arguments(kind: type[Any]) -> list[str]:
    """What a config class declares, aliases among them."""
    declared = [field.name for field in fields(kind) if field.init] if is_dataclass(kind) else []
    return [*declared, *getattr(kind, "attribute_map", {})]


def _parts(kind: type[Any], args: Mapping[str, Any]) -> dict[str, type[Any]]:
    """{field: class} of the configs inside a config; their own `model_type` may say another class than the default."""
    from transformers import CONFIG_MAPPING, PreTrainedConfig

    found: dict[str, type[Any]] = {}
    for field, value in vars(_made(kind, kind.__name__, {})).items():
        if isinstance(value, PreTrainedConfig):
            given = args.get(field) or {}
            if not isinstance(given, Mapping):
                raise StageError(f"args.{field}: a mapping of arguments is needed, and not {given!r}")
            asked = given.get("model_type")
            if asked is not None and asked not in CONFIG_MAPPING:
                raise StageError(f"args.{field}.model_type: no {asked!r}{nearest(str(asked), CONFIG_MAPPING)}")
            found[field] = type(value) if asked is None else CONFIG_MAPPING[asked]
    return found


def _check(args: Mapping[str, Any], kind: type[Any], name: str, place: str) -> None:
    known = [*arguments(kind), *(["model_type"] if place != "args" else [])]
    for word in args:
        if word in _OWN:
            raise StageError(f"{place}.{word}: the source's classes say this; leave it out")
        if word not in known:
            raise StageError(f"{place}.{word}: {name} has no such argument{nearest(str(word), known)}")


def _fitting(facts: Mapping[str, Any], kind: type[Any], parts: Mapping[str, Any]) -> dict[str, Any]:
    """Those facts that a class has a field for. What a config says of its parts it does not say itself."""
    known = set(arguments(kind))
    return {} if parts else {field: value for field, value in facts.items() if field in known}


def _made(kind: type[Any], name: str, values: Mapping[str, Any]) -> Any:
    with refusals(name):
        config = kind(**values)
        config.architectures = config.architectures or []  # where a config has two classes, None is not taken
    return config


@contextmanager
def refusals(name: str) -> Iterator[None]:
    """What a config class or a model's constructor raises for its arguments becomes a StageError."""
    try:
        yield
    except StageError:
        raise
    except Exception as error:  # these classes raise whatever they like
        reason = (str(error).strip() or type(error).__name__).replace("\n", " ")
        raise StageError(f"args: transformers cannot build a model from this {name}: {reason}") from error
