"""YAML as text, read strictly: a key that stands twice is an error, and errors show file, line and column."""

from typing import Any

import yaml

from ..errors import ConfigError


def parse_yaml(text: str, name: str) -> Any:
    """The content of a YAML file called `name`. Raises ConfigError for what is no YAML, and for a key that stands
    twice in one mapping."""
    try:
        loader = _Strict(text)
        loader.name = name
        return loader.get_single_data()
    except yaml.reader.ReaderError as error:
        raise ConfigError(f"{name} is not YAML: {_character(text, error)}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{name} is not YAML:\n{error}") from error


class _Strict(yaml.SafeLoader):
    """Plain values alone, and each key once; compared before `<<` merges mappings, where keys may come again."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        first: dict[tuple[str, str], int] = {}
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            line, known = key.start_mark.line + 1, (key.tag, key.value)
            if known in first:
                raise ConfigError(
                    f"{self.name}: line {line}: the key {key.value!r} is in line {first[known]} already; leave one out"
                )
            first[known] = line
        return node


def _character(text: str, error: yaml.reader.ReaderError) -> str:
    before = text[: error.position]
    line, column = before.count("\n") + 1, error.position - before.rfind("\n")
    return f"line {line}, column {column} has the character {text[error.position]!r}; remove it"
