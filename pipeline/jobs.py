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


def held_out_views(views: ViewsSpec) -> ViewsSpec:
    """The held-out samples are seen plain, once."""
    return views.model_copy(update={"count": 1, "operations": ()})


def held_out_signals(config: Config) -> dict[str, SignalSpec]:
    """Evaluation needs the teacher's logits, and no other signal."""
    return {"logits": SignalSpec(codec="f32")}


def check_held_out(train: Source, held_out: Source) -> None:
    """Raise StageError when figures would mean nothing: other classes, or samples that are trained on."""
    check_sources(train.classes, held_out.classes)
    check_splits(train, held_out)


def check_splits(train: Source, held_out: Source) -> None:
    """Raise StageError when a held-out sample is also trained on, as far as ids can tell."""
    trained = {sample for shard in train.shards() for sample in train.open(shard).ids}
    for shard in held_out.shards():
        for sample in held_out.open(shard).ids:
            if sample in trained:
                raise StageError(
                    f"evaluate.source: sample {sample!r} of shard {shard} is also in source; "
                    "figures on it would mean nothing"
                )


def open_joined(config: Config, held_out: bool = False) -> tuple[Cache, Join]:
    """A finished cache, checked against the configuration without looking at the teacher, and its samples."""
    if not held_out:
        return open_training(config)
    source, policy = source_of(config.evaluate.source), ViewPolicy(held_out_views(config.views))
    asked = AskedCache(source, policy, config.views.keep_pixels, held_out_signals(config), config.cache.block)
    cache = open_cache(config.held_out_path, asked)
    cache.require_complete()
    check_kept(source.classes, cache.manifest.classes, "evaluate.source")
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
