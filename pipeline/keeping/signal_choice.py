"""How a signal is to be recoded: options of the command line, held against the settings that a YAML would have."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from ...cache import Cache, CacheError
from ...cache.rewriting.recode import NewCodec
from ...cache.rewriting.rewrite import Rewrite
from ...cache.spec import SignalSpec
from ...stages.cache_identity import codec_parameters, written_parameters
from ..errors import ConfigError


def signals_to_recode(cache: Cache, names: Sequence[str] | None, options: Mapping[str, Any]) -> Sequence[str]:
    """The signals to recode: those that are named, or all when they are compressed alone.

    Raises ConfigError when nothing is asked for, or no signal is named for a codec.
    """
    given = {key for key, value in options.items() if value is not None}
    if not given:
        raise ConfigError("recode: give --codec for another codec, or --compress for other blocks of the same values")
    if not names and given != {"compress"}:
        raise ConfigError(f"recode: give --signal, one of {', '.join(cache.signals)}; only --compress may do for all")
    return names or cache.signals


def new_codec(cache: Cache, signal: str, options: Mapping[str, Any]) -> NewCodec:
    """The codec that options (None where nothing was said) ask for; of the old codec when they name none.

    Raises ConfigError for options that the codec does not take, CacheError for an unknown signal.
    """
    if signal not in cache.manifest.signals:
        raise CacheError(f"{cache.url} has no signal {signal!r}; it has {', '.join(cache.signals)}")
    old = cache.manifest.signals[signal]
    given = {key: value for key, value in options.items() if value is not None}
    compression = given.pop("compress", old.compression)
    if compression not in ("none", "zstd"):
        raise ConfigError(f"--compress: {compression!r} is neither none nor zstd")
    if not given:
        described = cache.manifest.fingerprint.get("signals", {}).get(signal, {}).get("parameters")
        return NewCodec(old.codec, old.parameters, compression, described=described)
    spec = _spec({"codec": old.codec, **given})
    return NewCodec(spec.codec, written_parameters(spec), compression, described=_described(spec))


def check_changes(cache: Cache, plan: Rewrite, names: Sequence[str]) -> None:
    """Raise ConfigError when every signal would be kept as it is: the new cache would be a copy of the old one."""
    if plan.manifest.signals == cache.manifest.signals:
        kept = ", ".join(f"{name} as {cache.manifest.signals[name].codec}" for name in names)
        raise ConfigError(f"recode: nothing would change: {cache.url} keeps {kept} with these settings already")


def _described(spec: SignalSpec) -> Mapping[str, Any]:
    from ...cache.codecs import build_codec

    return build_codec(spec.codec, codec_parameters(spec)).parameters


def _spec(given: Mapping[str, Any]) -> SignalSpec:
    try:
        split = {key: value.split(",") if key == "temperatures" else value for key, value in given.items()}
        return SignalSpec.model_validate(split)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = _option(str(first["loc"][0])) if first["loc"] else "--codec"
        raise ConfigError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from error


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
