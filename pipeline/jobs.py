"""From the configuration to what the stages take: sources, cache jobs, streams."""

from ..cache import Cache, open_cache
from ..cache.spec import SignalSpec
from ..data import Source, ViewPolicy, open_source
from ..data.spec import SourceSpec, ViewsSpec
from ..stages.asked_cache import AskedCache
from ..stages.class_order import check_kept, check_sources
from ..stages.errors import StageError
from ..stages.remote_source import remote_tars
from ..stages.student.stream.join import Join
from .config import CacheConfig, Config
from .teachers.teacher_names import owner


def held_out_views(views: ViewsSpec) -> ViewsSpec:
    """The held-out samples are seen plain, once."""
    return views.model_copy(update={"count": 1, "operations": ()})


def held_out_signals(config: Config, name: str | None = None) -> dict[str, SignalSpec]:
    """The signals that the metrics read of a set (the main one), or of a set of prompts, kept whole.

    They are heard where `cache.signals` hears them under the same name, else at the point of that name.
    """
    from ..stages.deploy.evaluation.held_out_sets import (
        judged_signals,  # here: the command line must not wait for torch
    )

    names = judged_signals(config.evaluate.chosen_metrics, name if name in config.evaluate.prompts else None)
    kept = config.cache.signals
    for one in names:
        if owner(config, one):
            raise StageError(
                f"evaluate.metrics: signal {one!r} is said by teacher {owner(config, one)}, and held-out samples are "
                "heard by the main teacher alone; measure its signals, or make the other one `teacher`"
            )
    return {
        name: SignalSpec(codec="f32", point=kept[name].point, reduce=kept[name].reduce)
        if name in kept
        else SignalSpec(codec="f32")
        for name in names
    }


def judging_sources(config: Config) -> dict[str, SourceSpec]:
    """The held-out sets by name, the main one first, then the sets of prompts."""
    return {**config.evaluate.named_sets, **config.evaluate.prompts}


def set_field(config: Config, name: str) -> str:
    """Where the source of a set stands in the configuration."""
    if config.evaluate.source is not None and name not in config.evaluate.prompts:
        return "evaluate.source"
    return f"evaluate.{'prompts' if name in config.evaluate.prompts else 'sets'}.{name}"


def check_held_out(train: Source, held_out: Source, field: str = "evaluate.source") -> None:
    """Raise StageError when figures would mean nothing: other classes, or samples that are trained on."""
    check_sources(train.classes, held_out.classes)
    check_splits(train, held_out, field)


def check_splits(train: Source, held_out: Source, field: str = "evaluate.source") -> None:
    """Raise StageError when a held-out sample is also trained on, as far as ids can tell."""
    trained = {sample for shard in train.shards() for sample in train.open(shard).ids}
    for shard in held_out.shards():
        for sample in held_out.open(shard).ids:
            if sample in trained:
                raise StageError(
                    f"{field}: sample {sample!r} of shard {shard} is also in source; figures on it would mean nothing"
                )


def open_joined(config: Config, held_out: bool = False) -> tuple[Cache, Join]:
    """A finished cache, checked against the configuration without looking at the teacher, and its samples."""
    if not held_out:
        return open_training(config)
    return open_set(config, next(iter(config.evaluate.named_sets)))


def open_set(config: Config, name: str) -> tuple[Cache, Join]:
    """The finished cache of a held-out set or of a set of prompts, and its samples."""
    source, policy = source_of(judging_sources(config)[name]), ViewPolicy(held_out_views(config.views))
    signals = held_out_signals(config, name)
    keep_pixels = config.views.keep_pixels and "image" in source.kinds
    cache = open_cache(config.set_path(name), AskedCache(source, policy, keep_pixels, signals, config.cache.block))
    cache.require_complete()
    check_kept(source.classes, cache.manifest.classes, set_field(config, name))
    return cache, Join(cache, source, policy)


def open_training(config: CacheConfig) -> tuple[Cache, Join]:
    """The finished training cache and its samples, also of a file that asks for a cache alone."""
    source, policy = source_of(config.source), ViewPolicy(config.views)
    asked = AskedCache(source, policy, config.views.keep_pixels, dict(config.cache.signals), config.cache.block)
    cache = open_cache(config.cache_path, asked)
    cache.require_complete()
    check_kept(source.classes, cache.manifest.classes, "source")
    return cache, Join(cache, source, policy)


def source_of(spec: SourceSpec) -> Source:
    """Open a source, wherever it lies."""
    return open_source(spec, remote_tars)
