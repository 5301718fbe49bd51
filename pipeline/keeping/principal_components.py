"""`recode --codec pca`: the main directions of a signal, found over a whole cache, once: who goes on takes these."""

from rich.table import Table

from ...cache import Cache, CacheError, open_cache
from ...cache.codecs import Spectrum, build_codec, fit_pca
from ...cache.format.manifest import MANIFEST_FILE
from ...cache.rewriting.dense import all_vectors
from ...cache.rewriting.recode import NewCodec
from ...cache.storage.address import open_store
from ..console import console
from ..errors import ConfigError


def pca_codec(
    cache: Cache, signal: str, out: str, dimensions: int | None, variance: float | None, keep: str, compression: str
) -> NewCodec:
    """The codec with the directions of this signal: as many as are asked for, or as hold `variance` of the variance.

    Raises ConfigError unless one of the two is given.
    """
    if signal not in cache.manifest.signals:
        raise CacheError(f"{cache.url} has no signal {signal!r}; it has {', '.join(cache.signals)}")
    if (dimensions is None) == (variance is None):
        raise ConfigError("--codec pca needs either --dimensions, such as 64, or --variance, such as 0.99")
    standing = _standing(out, signal)
    if standing is not None:
        return standing
    with console.status(f"finding the main directions of {signal}"):
        spectrum = fit_pca(all_vectors(cache, signal))
    chosen = spectrum.dimensions(variance) if variance is not None else int(dimensions or 0)
    console.print(spectrum_table(signal, spectrum, chosen))
    constants = {"mean": spectrum.mean.astype("float32"), "basis": spectrum.basis(chosen)}
    parameters = build_codec("pca", {"dimensions": chosen, "keep": keep}).parameters
    return NewCodec("pca", parameters, compression, constants, parameters)


def spectrum_table(signal: str, spectrum: Spectrum, chosen: int) -> Table:
    """How much of the variance some numbers of directions hold."""
    table = Table("directions", "share of the variance", title=f"{signal}: {spectrum.vectors:,} vectors")
    counts = {spectrum.dimensions(share) for share in (0.5, 0.9, 0.95, 0.99, 0.999)} | {chosen}
    for count in sorted(counts):
        mark = "  <- kept" if count == chosen else ""
        table.add_row(f"{count}", f"{spectrum.explained(count):.2%}{mark}")
    return table


def _standing(out: str, signal: str) -> NewCodec | None:
    """The directions of a new cache that was begun before; it goes on with these."""
    try:
        open_store(out).read(MANIFEST_FILE)
    except OSError:
        return None
    cache = open_cache(out)
    schema = cache.manifest.signals.get(signal)
    if schema is None or schema.codec != "pca":
        return None
    constants = {argument: cache.constant(name) for argument, name in schema.constants.items()}
    return NewCodec("pca", schema.parameters, schema.compression, constants, schema.parameters)
