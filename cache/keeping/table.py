"""Whether the table of receipts says what the receipts say. An old one is nobody's harm, and one that is damaged is
made anew when the cache is opened. One that would be believed and is wrong would give wrong rows.
"""

from ..errors import CacheError, DamagedCacheError
from ..format.receipt_table import TABLE_FILE, decode_table, record_of
from ..grid.member import Member


def check_table(member: Member) -> None:
    """Raise DamagedCacheError for a table that is damaged, or that fits the receipts' files and differs from their
    content."""
    try:
        table = decode_table(member.store.read(TABLE_FILE))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise DamagedCacheError(f"{member.url}/{TABLE_FILE} cannot be read ({error.strerror or error})") from error
    if table is None:
        raise DamagedCacheError(f"{member.url}/{TABLE_FILE} is damaged; opening the cache makes it anew")
    listed = {entry.name: (entry.bytes, entry.version) for entry in member.store.entries("receipts")}
    for record in table.records():
        shard, identity = record["shard"], (record["size"], record["version"])
        if listed.get(f"{shard}.json") != identity:
            continue  # the receipt is another one now, so the table is not believed
        try:
            receipt = member.receipt(shard)
        except CacheError:
            continue  # the receipt itself is damaged, which has been said
        said = {key: value for key, value in record.items() if key != "first"}
        if receipt is not None and said != record_of(receipt, identity):
            raise DamagedCacheError(f"{member.url}/{TABLE_FILE} does not say what the receipt of shard {shard} says")


def remove_table(member: Member) -> None:
    """Remove the table; the next opening makes it anew from the receipts."""
    member.store.remove([TABLE_FILE])
