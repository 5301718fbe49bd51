"""An inspected cache for people: a table of the signals, and a line for each other thing that there is."""

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from ..console import counted


def inspection_table(found: dict[str, Any]) -> Table:
    """The signals of an inspected cache."""
    shards = found["shards"]
    table = Table(
        title=f"{found['path']}: {counted(found['rows'], 'row')} "
        f"({counted(found['samples'], 'sample')} x {counted(found['views'], 'view')}), "
        f"{counted(shards['complete'], 'shard')}, {len(shards['missing'])} missing, {size_text(found['bytes'])}",
        title_justify="left",
    )
    for column in ("signal", "shape", "codec", "bytes/row", "bytes", "largest error"):
        table.add_column(column, justify="right" if column.startswith("bytes") else "left")
    for name, signal in found["signals"].items():
        error = "  ".join(f"{key} {value:.2g}" for key, value in signal["error"].items()) or "none"
        shape = " x ".join(map(str, signal["shape"])) or "1"
        table.add_row(name, shape, _codec(signal), f"{signal['bytes_per_row']:,}", size_text(signal["bytes"]), error)
    return table


def inspection_lines(found: dict[str, Any]) -> Iterator[str]:
    """What else there is to say, one line each."""
    cost = found["cost"]
    if cost["seconds"]:
        busy = cost["rows_per_teacher_second"]
        yield (
            f"cost: {cost['teacher_seconds']:,.1f} s of the teacher in {cost['seconds']:,.1f} s"
            + (f"; {cost['rows_per_second']:,.0f} rows/s" if cost["rows_per_second"] else "; no row is finished yet")
            + (f" ({busy:,.0f} while it worked)" if busy else "")
            + f", {size_text(cost['bytes_per_second'])}/s"
        )
    if cost["busy_share"] is not None:
        side = f"the limit is the {cost['limit']}" if cost["limit"] else "no side was the limit"
        yield (
            f"{side}: device busy {cost['busy_share']:.0%}, "
            f"{cost['waiting_for_data']:,.1f} s waiting for data, {cost['waiting_for_writer']:,.1f} s for the writer; "
            f"batch size {', '.join(map(str, cost['batch_size']))}"
        )
    for name, constant in found["constants"].items():
        yield f"constant {name}: {size_text(constant['bytes'])}"
    for extension in found["extensions"]:
        views, shards = extension["views"], extension["shards"]
        yield (
            f"extension {extension['name']}: {', '.join(extension['signals'])}; views {views[0]}-{views[1]}; "
            f"{counted(shards['complete'], 'shard')}, {len(shards['missing'])} missing; {size_text(extension['bytes'])}"
        )
    if found["left_out"]["samples"]:
        yield f"left out, because they could not be decoded: {counted(found['left_out']['samples'], 'sample')}"
    for one in found["left_out"]["first"]:
        yield f"  {one['reason'] or 'sample {sample!r} of shard {shard!r}'.format(**one)}"
    for release in found["privacy"]:
        yield f"private: {release['text']}"
    if found["derived"]:
        yield f"derived: made by `teachercache cache {found['derived']['verb']}`"
    if found["rubbish"]["things"]:
        things, size = counted(found["rubbish"]["things"], "thing"), size_text(found["rubbish"]["bytes"])
        yield f"rubbish: {things}, {size}; `teachercache cache gc` removes what is old"


def size_text(count: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.1f} {unit}" if unit != "B" else f"{count:,.0f} B"
        count /= 1000
    return f"{count:,.1f} TB"


def _codec(signal: dict[str, Any]) -> str:
    """Codec, its parameters, and what the arrays are like."""
    words = [signal["codec"], *(f"{key}={value}" for key, value in signal["parameters"].items())]
    if signal["packing"]:
        words.append("causal" if signal["packing"]["causal"] else "ragged")
    if signal["compression"] != "none":
        words.append(signal["compression"])
    return " ".join(words)
