"""What must be equal for a cache to be the right one, and how it is said when it is not."""

from collections.abc import Mapping
from typing import Any

from ..errors import StaleCacheError

_ABSENT = "nothing"


def differences(cached: Any, asked: Any, path: str = "") -> list[str]:
    """One line per field that differs, by dotted path. Fields that only the cache has count too."""
    if isinstance(cached, Mapping) and isinstance(asked, Mapping):
        keys = [*cached, *(key for key in asked if key not in cached)]
        return [
            line
            for key in keys
            for line in differences(cached.get(key, _ABSENT), asked.get(key, _ABSENT), f"{path}.{key}" if path else key)
        ]
    return (
        []
        if cached == asked
        else [f"{path}: the cache has {_short(cached)}, the configuration asks for {_short(asked)}"]
    )


def check_fingerprint(root: object, cached: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Raise StaleCacheError, naming every field that differs, unless the cache was built from what is asked for.

    Only the top-level fields of `asked` are compared, and a signal that the cache holds and nobody asks for is no
    difference.
    """
    compared = {key: cached.get(key, _ABSENT) for key in asked}
    if "signals" in asked and isinstance(compared["signals"], Mapping):
        compared["signals"] = {name: value for name, value in compared["signals"].items() if name in asked["signals"]}
    lines = differences(compared, dict(asked))
    if lines:
        listing = "\n  ".join(lines)
        raise StaleCacheError(
            f"{root} was built from something else:\n  {listing}\n"
            "Build under another cache.path, undo the change, or remove the old cache."
        )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
