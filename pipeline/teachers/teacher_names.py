"""Whose signal is whose, where there are several teachers: `<teacher>.<point>` is that teacher's."""

from typing import TypeVar

from ...cache.spec import SignalSpec
from ..config import CacheConfig

_C = TypeVar("_C", bound=CacheConfig)


def owner(config: CacheConfig, signal: str) -> str:
    """The name of the teacher that a signal is heard of, "" for the main one."""
    first, dot, _ = signal.partition(".")
    return first if dot and first in config.teachers else ""


def main_signals(config: CacheConfig) -> dict[str, SignalSpec]:
    """The signals of the main teacher."""
    return {name: spec for name, spec in config.cache.signals.items() if not owner(config, name)}


def with_points(config: _C) -> _C:
    """The configuration with the point of every other teacher's signal said: what stands behind its name."""
    if not config.teachers:
        return config
    signals = {
        name: spec.model_copy(update={"point": spec.point or name.partition(".")[2]}) if owner(config, name) else spec
        for name, spec in config.cache.signals.items()
    }
    return config.model_copy(update={"cache": config.cache.model_copy(update={"signals": signals})})
