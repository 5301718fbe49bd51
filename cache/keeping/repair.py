"""Takes broken shards out of use and removes their files, so that the next build makes them again.

It never guesses: what cannot be made again from a source, such as a constant, is left for the user to decide about.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import CacheError, DamagedCacheError
from ..format.receipt import read_receipt, receipt_name
from ..format.row_index import rows_path
from ..grid.member import Member
from .damage import Damage
from .root_group import check_root, write_root
from .table import check_table, remove_table


@dataclass(frozen=True, slots=True)
class Repair:
    """`retired` are damaged shards that are missing from now on; `left` is what a repair cannot mend."""

    retired: tuple[Damage, ...]
    left: tuple[Damage, ...]


def repair_members(members: Sequence[Member], damages: Sequence[Damage], dry_run: bool = False) -> Repair:
    """Mend what `verify_members` found; `dry_run` only says what would be done."""
    by_name = {member.name: member for member in members}
    retired = {(damage.extension, damage.shard): damage for damage in damages if damage.shard}
    for extension, shard in () if dry_run else retired:
        remove_shard(by_name[extension], shard)
    shared = [damage for damage in damages if not damage.shard]
    left = [damage for damage in shared if not _mended(by_name[damage.extension], damage, dry_run)]
    return Repair(tuple(retired.values()), tuple(left))


def remove_shard(member: Member, shard: str) -> None:
    """Take a broken shard out of use and remove its files. The receipt goes first: it never names what is gone."""
    try:
        receipt = read_receipt(member.store, shard)
    except CacheError:
        receipt = None  # nobody knows its folder now; `gc` finds it, for no receipt names it
    retire_shard(member, shard)
    if receipt is not None:
        member.store.remove([receipt.folder, rows_path(receipt.folder)])


def retire_shard(member: Member, shard: str) -> str:
    """Take a broken shard out of use: its receipt moves to receipts/damaged/, so that a build makes the shard again.

    Returns the receipt's new name below the store.
    """
    aside = f"receipts/damaged/{shard}.json"
    member.store.move(receipt_name(shard), aside)
    return aside


def _mended(member: Member, damage: Damage, dry_run: bool) -> bool:
    """Whether something that shards share could be mended: a wrong table of receipts is removed, and the root group,
    which says nothing of its own, is written anew."""
    for check, mend in ((check_table, remove_table), (check_root, write_root)):
        try:
            check(member)
        except DamagedCacheError as error:
            if str(error) == damage.problem:
                if not dry_run:
                    mend(member)
                return True
    return False
