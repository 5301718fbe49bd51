"""Opening a cache of three signals from its table of receipts, beside reading every receipt.

The shards have receipts and no arrays: opening looks at no array, however many there are.
"""

from dataclasses import asdict
from pathlib import Path

from contest import Contender, Outcome, Watch, contest
from figure import Figure

from teachercache.cache import Cache, Manifest, SignalSchema, create_cache, open_cache
from teachercache.cache.format.document import seal_document
from teachercache.cache.format.receipt import Receipt, receipt_name
from teachercache.cache.format.receipt_table import TABLE_FILE
from teachercache.cache.grid.extension import extension_folder, publish_extension
from teachercache.cache.opening import note_receipts
from teachercache.cache.storage.folder import FolderStore

SIGNALS = ("logits", "embedding", "attention.5")
_MOST_MS = 10.0
_TIMES = 3  # openings of one round


def measure(tiny: bool, scratch: Path) -> list[Figure]:
    """The figures of this benchmark."""
    counts, rounds = ((2, 100), 1) if tiny else ((10, 1000, 5000), 5)
    rows = [_opening(scratch / f"plain-{shards}", shards, False, rounds) for shards in counts]
    return [*rows, _opening(scratch / "extended", counts[1], True, rounds)]


def _opening(root: Path, shards: int, extended: bool, rounds: int) -> Figure:
    make_cache(root, shards, SIGNALS)
    if extended:
        make_cache(root / extension_folder("001-x"), shards, ("hidden.5",))
        publish_extension(FolderStore(root), "001-x")
    outcome = contest({"table": _opened(root, False), "receipts": _opened(root, True)}, rounds)
    found = 1e3 / outcome.rate("table", "cpu")
    judged = not extended and shards == 1000
    return Figure(
        f"{shards:,} shards x 3 signals{', and an extension of all of them' if extended else ''}",
        f"{found:.1f} ms CPU",
        f"every receipt read: {1e3 / outcome.rate('receipts', 'cpu'):.1f} ms CPU",
        _speed(outcome),
        outcome.ratio("table", "receipts"),
        outcome.ratio("table", "receipts", "cpu"),
        f"<= {_MOST_MS:g} ms CPU" if judged else "",
        found <= _MOST_MS if judged else None,
    )


def _speed(outcome: Outcome) -> float:
    return outcome.ratio("table", "receipts", "cpu").median


def _opened(root: Path, anew: bool) -> Contender:
    def run(watch: Watch) -> None:
        for _ in range(_TIMES):
            if anew:
                for table in root.rglob(TABLE_FILE):
                    table.unlink()
            cache = open_cache(root)
            assert cache.rows == 2000 * len(cache.shards) > 0
        watch.stop()
        _note(root)

    return Contender(_TIMES, run)


def _note(root: Path) -> None:
    for manifest in root.rglob("manifest.json"):
        note_receipts(manifest.parent)


def make_cache(root: Path, shards: int, signals: tuple[str, ...]) -> Cache:
    """A cache of `shards` receipts that say 2,000 rows each."""
    schemas = {name: SignalSchema(name, "f16", {}, (768,)) for name in signals}
    names = tuple(f"train-{number:05d}" for number in range(shards))
    cache = create_cache(root, Manifest({"signals": {s: {} for s in signals}}, schemas, names, 2, 256))
    (root / "receipts").mkdir()
    for number, shard in enumerate(names):
        content = {"format": 1, **asdict(_receipt(cache, shard, number))}
        (root / receipt_name(shard)).write_bytes(seal_document(content))
    note_receipts(root)
    return cache


def _receipt(cache: Cache, shard: str, number: int) -> Receipt:
    folder, record = f"shards/{shard}.{number:012x}", {"bytes": 3072000, "xxh3": f"{number:032x}"}
    parts = [f"{folder}/{name}/{file}" for name in cache.signals for file in ("zarr.json", "values/c/0/0")]
    files = dict.fromkeys([*parts, f"{folder}/zarr.json", f"rows/{shard}.{number:012x}.arrow"], record)
    return Receipt(shard, folder, 2000, cache.manifest.digest, files, {"xxh3": f"{number:032x}"})
