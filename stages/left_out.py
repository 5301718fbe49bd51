"""Which samples of a source's shard a cache has left out, because they could not be decoded, and why."""

from ..cache import Cache


def left_out_samples(cache: Cache, shard: str) -> tuple[str, ...]:
    """Their ids, as the receipt of a finished shard names them."""
    return tuple(str(name) for name in cache.receipts[shard].source.get("left_out", ()))


def left_out_reasons(cache: Cache, shard: str) -> dict[str, str]:
    """Why each of them could not be decoded, {id: reason}; "" where no receipt of the shard says it: those of
    extensions repeat what the base left out, and older ones have no reasons."""
    found = dict.fromkeys(left_out_samples(cache, shard), "")
    for member in cache.members:
        receipt = member.receipts.get(shard)
        if receipt is not None:
            said = zip(receipt.source.get("left_out", ()), receipt.source.get("left_out_because", ()), strict=False)
            found |= {str(name): str(reason) for name, reason in said if name in found}
    return found
