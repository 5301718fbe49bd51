"""What is in a cache, as JSON: its signals, parts, bytes, what is missing, and what it has cost."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...cache import Cache
from ...cache.format.receipt import Receipt
from ...cache.format.schema import SignalSchema
from ...cache.grid.member import Member
from ...cache.keeping.rubbish import find_rubbish
from ...stages.left_out import left_out_reasons
from ...stages.teacher.running.pace import Pace

_FIRST = 5  # samples that were left out and are named


def inspect_cache(cache: Cache) -> dict[str, Any]:
    """Everything about a cache and its extensions; JSON."""
    manifest = cache.manifest
    receipts = {member.name: list(member.receipts.values()) for member in cache.members}
    every = [receipt for found in receipts.values() for receipt in found]
    on_disk, rubbish = sum(receipt.bytes for receipt in every), find_rubbish(cache.members)
    return {
        "path": cache.url,
        "rows": cache.rows,
        "samples": cache.rows // manifest.views,
        "views": manifest.views,
        "first_view": manifest.first_view,
        "block": manifest.block,
        "shards": {"complete": len(cache.shards), "missing": list(cache.missing())},
        "bytes": on_disk,
        "bytes_per_row": on_disk / cache.rows if cache.rows else None,
        "signals": _signals(cache, every),
        "constants": {name: {"bytes": it.bytes, "file": it.file} for name, it in manifest.constants.items()},
        "extensions": [_extension(member, receipts[member.name]) for member in cache.members[1:]],
        "rubbish": {"things": len(rubbish), "bytes": sum(thing.bytes for thing in rubbish)},
        "left_out": _left_out(cache),
        "teacher": dict(manifest.teacher),
        "cost": _cost(every, cache.rows, on_disk),
        "privacy": [{**release.to_json(), "text": str(release)} for release in manifest.privacy],
        "derived": manifest.fingerprint.get("derived"),
        "fingerprint": dict(manifest.fingerprint),
        "versions": dict(manifest.versions),
    }


def _signals(cache: Cache, receipts: Sequence[Receipt]) -> dict[str, Any]:
    sizes = _signal_bytes(receipts)
    return {
        name: {
            "shape": list(schema.shape),
            "codec": schema.codec,
            "parameters": dict(schema.parameters),
            "point": schema.point,
            "reduce": schema.reduce,
            "packing": None if schema.packing is None else schema.packing.to_json(),
            "compression": schema.compression,
            "constants": dict(schema.constants),
            "bytes": sizes.get(name, 0),
            "bytes_per_row": _row_bytes(schema, sizes.get(name, 0), cache.rows),
            "error": worst_error(name, receipts) or dict(schema.error),
        }
        for name, schema in cache.manifest.signals.items()
    }


def _row_bytes(schema: SignalSchema, on_disk: int, rows: int) -> int:
    """Bytes of one row; of rows that differ in length, or are compressed, what they take on average."""
    varies = schema.packing is not None or schema.compression != "none"
    return round(on_disk / rows) if varies and rows else schema.row_bytes()


def _signal_bytes(receipts: Sequence[Receipt]) -> dict[str, int]:
    """Bytes of all files of each signal, as they lie there: with index, padding and metadata."""
    found: dict[str, int] = {}
    for receipt in receipts:
        for name, record in receipt.files.items():
            signal, slash, _ = name.removeprefix(f"{receipt.folder}/").partition("/")
            if slash and name.startswith(f"{receipt.folder}/"):
                found[signal] = found.get(signal, 0) + int(record["bytes"])
    return found


def _extension(member: Member, receipts: Sequence[Receipt]) -> dict[str, Any]:
    manifest = member.manifest
    return {
        "name": member.name,
        "signals": list(manifest.signals),
        "views": [manifest.first_view, manifest.first_view + manifest.views - 1],
        "shards": {"complete": len(receipts), "missing": list(member.missing())},
        "bytes": sum(receipt.bytes for receipt in receipts),
    }


def _left_out(cache: Cache) -> dict[str, Any]:
    """How many samples of the source are not in the finished shards, because they could not be decoded, and the first
    of them with the reason ("" where it is not known)."""
    every = [(shard, *each) for shard in cache.shards for each in left_out_reasons(cache, shard).items()]
    first = [{"shard": shard, "sample": sample, "reason": reason} for shard, sample, reason in every[:_FIRST]]
    return {"samples": len(every), "first": first}


def _cost(receipts: Sequence[Receipt], rows: int, on_disk: int) -> dict[str, Any]:
    """The ledger: seconds that the teacher's device worked and seconds that passed, and what came out of each; of
    several processes the sums. What no receipt says, because it is older, is None."""
    teacher, passed = (_seconds(receipts, key) or 0.0 for key in ("teacher_seconds", "seconds"))
    data, writer = (_seconds(receipts, key) for key in ("waiting_for_data", "waiting_for_writer"))
    pace = None if data is None or writer is None or not passed else Pace(rows, passed, teacher, data, writer)
    return {
        "teacher_seconds": teacher,
        "seconds": passed,
        "rows_per_teacher_second": rows / teacher if rows and teacher else None,
        "rows_per_second": rows / passed if rows and passed else None,
        "bytes_per_second": on_disk / passed if passed else None,
        "waiting_for_data": data,
        "waiting_for_writer": writer,
        "busy_share": None if pace is None else pace.busy_share,
        "limit": None if pace is None else pace.limit,
        "batch_size": sorted({int(r.cost["batch_size"]) for r in receipts if "batch_size" in r.cost}),
    }


def _seconds(receipts: Sequence[Receipt], key: str) -> float | None:
    """The sum over receipts; None where none of them says."""
    known = [float(receipt.cost[key]) for receipt in receipts if key in receipt.cost]
    return sum(known) if known else None


def worst_error(name: str, receipts: Sequence[Receipt]) -> dict[str, float]:
    """The largest error of each kind over shards."""
    found: dict[str, float] = {}
    for receipt in receipts:
        figures: Mapping[str, float] = receipt.error.get(name, {})
        for key, value in figures.items():
            found[key] = max(found.get(key, float(value)), float(value))
    return found
