"""What is in a cache, for people and as JSON."""

from typing import Any

from rich.table import Table

from ..cache import Cache


def inspect_cache(cache: Cache) -> dict[str, Any]:
    """Signals, shapes, codecs, errors, bytes, shards, fingerprint and cost of a cache; JSON."""
    manifest, receipts = cache.manifest, list(cache.receipts.values())
    seconds = sum(float(receipt.cost.get("teacher_seconds", 0.0)) for receipt in receipts)
    on_disk = sum(receipt.bytes for receipt in receipts)
    return {
        "path": cache.url,
        "rows": cache.rows,
        "samples": cache.rows // manifest.views,
        "views": manifest.views,
        "shards": {"complete": len(receipts), "missing": list(cache.missing())},
        "bytes": on_disk,
        "bytes_per_row": on_disk / cache.rows if cache.rows else None,
        "signals": {
            name: {
                "shape": list(schema.shape),
                "codec": schema.codec,
                "parameters": dict(schema.parameters),
                "point": schema.point,
                "reduce": schema.reduce,
                "bytes_per_row": schema.row_bytes(),
                "error": _worst(name, [receipt.error for receipt in receipts]) or dict(schema.error),
            }
            for name, schema in manifest.signals.items()
        },
        "teacher": dict(manifest.teacher),
        "cost": {"teacher_seconds": seconds, "rows_per_teacher_second": cache.rows / seconds if seconds else None},
        "fingerprint": dict(manifest.fingerprint),
        "versions": dict(manifest.versions),
    }


def inspection_table(found: dict[str, Any]) -> Table:
    """The signals of an inspected cache."""
    shards = found["shards"]
    table = Table(
        title=f"{found['path']}: {found['rows']:,} rows ({found['samples']:,} samples x {found['views']} views), "
        f"{shards['complete']} shards, {len(shards['missing'])} missing, {size_text(found['bytes'])}",
        title_justify="left",
    )
    for column in ("signal", "shape", "codec", "bytes/row", "largest error"):
        table.add_column(column, justify="right" if column == "bytes/row" else "left")
    for name, signal in found["signals"].items():
        settings = " ".join(f"{key}={value}" for key, value in signal["parameters"].items())
        error = "  ".join(f"{key} {value:.2g}" for key, value in signal["error"].items()) or "none"
        shape = " x ".join(map(str, signal["shape"]))
        table.add_row(name, shape, f"{signal['codec']} {settings}".strip(), f"{signal['bytes_per_row']:,}", error)
    return table


def _worst(name: str, errors: list[Any]) -> dict[str, float]:
    """The largest error of each kind over shards."""
    found: dict[str, float] = {}
    for error in errors:
        for key, value in error.get(name, {}).items():
            found[key] = max(found.get(key, 0.0), float(value))
    return found


def size_text(count: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.1f} {unit}" if unit != "B" else f"{count:,.0f} B"
        count /= 1000
    return f"{count:,.1f} TB"
