"""Class ids on disk, in as few bytes as the number of classes allows: 2 up to 65,536 classes, 3 up to 2^24, else 4."""

from array_api_compat import array_namespace

from ..codec import Array, Part

IDS = "ids"


def ids_part(entries: int, classes: int) -> Part:
    """The part that holds `entries` ids a row: uint16 (entries,), uint8 (entries, 3) little endian, or uint32."""
    if classes <= 1 << 16:
        return Part(IDS, "uint16", (entries,))
    return Part(IDS, "uint8", (entries, 3)) if classes <= 1 << 24 else Part(IDS, "uint32", (entries,))


def pack_ids(ids: Array, classes: int) -> Array:
    """Ids (n, k) int64 in [0, classes) as `ids_part` keeps them."""
    xp = array_namespace(ids)
    if classes <= 1 << 16:
        return xp.astype(ids, xp.uint16)
    if classes > 1 << 24:
        return xp.astype(ids, xp.uint32)
    return xp.astype(xp.stack([ids & 0xFF, (ids >> 8) & 0xFF, ids >> 16], axis=-1), xp.uint8)


def unpack_ids(packed: Array, classes: int) -> Array:
    """What `pack_ids` made, as ids (n, k) int64."""
    xp = array_namespace(packed)
    wide = xp.astype(packed, xp.int64)
    if classes <= 1 << 16 or classes > 1 << 24:
        return wide
    return wide[..., 0] + (wide[..., 1] << 8) + (wide[..., 2] << 16)
