"""Which samples of a source's shard a cache has left out, because they could not be decoded when it was built."""

from ..cache import Cache


def left_out_samples(cache: Cache, shard: str) -> tuple[str, ...]:
    """Their ids, as the receipt of a finished shard names them."""
    return tuple(str(name) for name in cache.receipts[shard].source.get("left_out", ()))
