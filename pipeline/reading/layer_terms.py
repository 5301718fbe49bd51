"""Terms over layers, replaced by a term for each layer when a configuration is read."""

from typing import TypeVar

from ..config import CacheConfig, Config

_C = TypeVar("_C", bound=CacheConfig)


def without_layers(config: _C) -> _C:
    """The configuration with every term that has `layers` spelt out, by the signals that it asks for.

    Nothing is looked at where there is none. Raises StageError for layers that are not there.
    """
    if not isinstance(config, Config) or all(t.layers is None for one in config.students for t in one.objective):
        return config
    from ...stages.student.mismatch.layer_terms import expand_layers

    students = tuple(expand_layers(student, config.cache.signals) for student in config.students)
    return config.model_copy(update={"students": students})
