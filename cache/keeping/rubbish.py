"""What lies in a cache and belongs to nothing: attempts that no receipt names, temporary files, forgotten constants.

It refuses to guess. What a receipt that cannot be read may name stays, and so does everything that was touched lately,
for it may be a builder's that is still running.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..errors import CacheError
from ..format.receipt import read_receipt
from ..grid.extension import FOLDER
from ..grid.member import Member
from ..lazy import lazy_property
from ..storage.store import StoredFile


@dataclass(frozen=True, slots=True)
class Rubbish:
    """A file or folder below the cache's store: `kind` says what it was, `modified` when any of it was last touched
    (Unix seconds)."""

    name: str
    kind: str
    bytes: int
    modified: float


def find_rubbish(members: Sequence[Member], damaged: bool = False) -> list[Rubbish]:
    """Everything that could be removed, however young; `damaged` counts receipts in receipts/damaged/ too."""
    kept = {member.name: _Named(member) for member in members}
    found: dict[tuple[str, str], list[StoredFile]] = {}
    for file in members[0].store.tree(""):
        unit = _unit(file.name, kept, damaged)
        if unit is not None:
            found.setdefault(unit, []).append(file)
    return sorted(
        (
            Rubbish(name, kind, sum(file.bytes for file in files), max(file.modified for file in files))
            for (name, kind), files in found.items()
        ),
        key=lambda rubbish: rubbish.name,
    )


def remove_rubbish(members: Sequence[Member], rubbish: Iterable[Rubbish]) -> Iterator[Rubbish]:
    """Remove what was found; yields each thing that is gone. A receipt that names it by now saves it."""
    store = members[0].store
    for thing in rubbish:
        fresh = {member.name: _Named(member) for member in members}
        if _unit(thing.name, fresh, damaged=True) is not None:
            store.remove([thing.name])
            yield thing


class _Named:
    """What a member's manifest and receipts name."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self.constants = {constant.file for constant in member.manifest.constants.values()}
        self._folders: dict[str, str | None] = {}

    @lazy_property
    def _shards(self) -> frozenset[str]:
        return frozenset(self._member.manifest.shards)

    def keeps(self, folder: str) -> bool:
        """Whether an attempt's folder is named by its shard's receipt, or might be: the receipt cannot be read."""
        shard = folder.partition("/")[2].rpartition(".")[0]
        if shard not in self._folders:
            self._folders[shard] = self._named(shard)
        return self._folders[shard] in (folder, "?")

    def _named(self, shard: str) -> str | None:
        try:
            receipt = read_receipt(self._member.store, shard) if shard in self._shards else None
        except CacheError:
            return "?"
        return None if receipt is None else receipt.folder


def _unit(name: str, kept: dict[str, _Named], damaged: bool) -> tuple[str, str] | None:
    """The file or folder that is rubbish because of the file `name`, and its kind; None when it is none."""
    first, _, rest = name.partition("/")
    if first == FOLDER and "/" in rest:
        extension, _, below = rest.partition("/")
        if extension not in kept:
            return f"{FOLDER}/{extension}", "extension that was never begun"
        unit = _member_unit(below, kept[extension], damaged)
        return None if unit is None else (f"{FOLDER}/{extension}/{unit[0]}", unit[1])
    if first == FOLDER and rest and not rest.endswith((".json", ".tmp")):
        return (name, "extension that was never begun") if rest not in kept else None
    return _member_unit(name, kept[""], damaged)


def _member_unit(name: str, kept: _Named, damaged: bool) -> tuple[str, str] | None:
    """The same for a name below a member."""
    parts = name.split("/")
    for depth, part in enumerate(parts):
        if part.startswith(".") and part.endswith(".tmp"):
            return "/".join(parts[: depth + 1]), "temporary file"
    folder = "/".join(parts[:2])
    match parts:
        case ["shards", attempt, *_] if "." in attempt and name != "shards/zarr.json" and not kept.keeps(folder):
            return folder, "attempt without a receipt"
        case ["rows", file] if file.endswith(".arrow") and not kept.keeps(f"shards/{file.removesuffix('.arrow')}"):
            return name, "row index without a receipt"
        case ["receipts", "damaged", _] if damaged:
            return name, "damaged receipt"
        case ["constants", _] if name not in kept.constants:
            return name, "constant that the manifest does not name"
    return None
