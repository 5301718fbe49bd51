"""What makes a cache the right one, as far as both phases can know it: source, views, signals. Loads nothing."""

from collections.abc import Mapping
from typing import Any

from ..cache.codecs import build_codec
from ..cache.spec import CODEC_FIELDS, SignalSpec
from ..data import Source, ViewPolicy

PIXELS = "pixels"  # the signal that holds the canonical views themselves


def codec_parameters(spec: SignalSpec) -> dict[str, Any]:
    """What the codec of a signal is built with, as far as the settings say it."""
    fields = CODEC_FIELDS.get(spec.codec, ())
    return {field: getattr(spec, field) for field in fields}


def written_parameters(spec: SignalSpec) -> dict[str, Any]:
    """What the codec of a signal that is written now is built with: also what older caches lack and need not have."""
    return {**codec_parameters(spec), **({"entropy": True} if spec.codec == "topk" else {})}


def signal_fingerprint(name: str, spec: SignalSpec) -> dict[str, Any]:
    """What makes a signal the right one: where it is heard, and how it is kept."""
    return {
        "point": spec.point or name,
        "reduce": spec.reduce,
        "codec": spec.codec,
        "parameters": dict(build_codec(spec.codec, codec_parameters(spec)).parameters),
        **({"causal": True} if spec.causal else {}),
    }


def cache_fingerprint(
    source: Source, policy: ViewPolicy, keep_pixels: bool, signals: Mapping[str, SignalSpec], block: int
) -> dict[str, Any]:
    """The part of a cache's fingerprint that phase two can check too: all but the teacher."""
    described = {name: signal_fingerprint(name, spec) for name, spec in signals.items()}
    if keep_pixels:
        described[PIXELS] = {"point": "view", "reduce": "none", "codec": "u8", "parameters": {}}
    return {"source": dict(source.fingerprint), "views": dict(policy.fingerprint), "signals": described, "block": block}
