"""How a signal is to be recoded: options of the command line, held against the settings that a YAML would have."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from ..cache import Cache, CacheError
from ..cache.rewriting.recode import NewCodec
from ..cache.spec import SignalSpec
from ..stages.cache_identity import codec_parameters
from .errors import ConfigError


def new_codec(cache: Cache, signal: str, options: Mapping[str, Any]) -> NewCodec:
    """The codec that options (None where nothing was said) ask for; of the old codec when they name none.

    Raises ConfigError for options that the codec does not take, CacheError for an unknown signal.
    """
    if signal not in cache.manifest.signals:
        raise CacheError(f"{cache.url} has no signal {signal!r}; it has {', '.join(cache.signals)}")
    old = cache.manifest.signals[signal]
    given = {key: value for key, value in options.items() if value is not None}
    compression = given.pop("compress", old.compression)
    if not given:
        return NewCodec(old.codec, old.parameters, compression)
    if isinstance(given.get("temperatures"), str):
        given["temperatures"] = given["temperatures"].split(",")
    try:
        spec = SignalSpec.model_validate({"codec": old.codec, **given})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        option = "".join(f"--{part}" for part in first["loc"][:1])
        raise ConfigError(f"{option}: {first['msg'].removeprefix('Value error, ')}") from error
    return NewCodec(spec.codec, codec_parameters(spec), compression)
