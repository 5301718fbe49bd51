"""Which shards are asked for: by name, or by number in the source's order."""

from collections.abc import Callable

from ..config import CacheConfig
from ..errors import ConfigError


def choose_shards(config: CacheConfig, text: str | None) -> Callable[[str], bool]:
    """A test of shard names from text such as "train-0003" or "0-3,7". Raises ConfigError for what there is not."""
    if text is None:
        return lambda shard: True
    from ..jobs import source_of  # here, because the command line imports this module and must not wait for torch

    chosen = named_shards(list(source_of(config.source).shards()), text)
    return lambda shard: shard in chosen


def named_shards(names: list[str], text: str) -> set[str]:
    """Those of `names` that a text such as "train-0003" or "0-3,7" means. Raises ConfigError for what there is not."""
    return named_items(names, text, "--shards", "shard")


def named_items(names: list[str], text: str, option: str, what: str) -> set[str]:
    """The same for names of another kind, `what`, given under another option."""
    known, chosen = set(names), set()
    for item in (part.strip() for part in text.split(",")):
        chosen |= {item} if item in known else _by_number(item, names, option, what)
    return chosen


def _by_number(item: str, names: list[str], option: str, what: str) -> set[str]:
    first, _, last = item.partition("-")
    try:
        start, stop = int(first), int(last or first) + 1
    except ValueError:
        raise ConfigError(f"{option}: {item!r} is no {what}; the first one is {names[0]!r}") from None
    if not 0 <= start < stop <= len(names):
        raise ConfigError(f"{option}: {item} is outside 0-{len(names) - 1}")
    return set(names[start:stop])
