"""Whether a shard holds all that its receipt promises: every array and file, and a row index that counts its rows.

A receipt with a right checksum can still be wrong, when another program wrote it. Then this finds what hashes cannot.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..errors import DamagedCacheError
from ..format.manifest import Manifest
from ..format.receipt import Receipt
from ..format.row_index import RowIndex, rows_path
from ..format.zarr_metadata import chunk_file
from ..grid.member import Member
from ..reading.shard_reader import ShardReader


def expected_files(manifest: Manifest, folder: str) -> Iterator[str]:
    """Names of all files of a shard in `folder`, below the store."""
    yield from (f"{folder}/zarr.json", rows_path(folder))
    for name, schema in manifest.signals.items():
        yield f"{folder}/{name}/zarr.json"
        for part in schema.parts():
            yield f"{folder}/{name}/{part.name}/zarr.json"
            yield f"{folder}/{name}/{part.name}/{chunk_file(1 + len(part.shape))}"


def check_coverage(member: Member, receipt: Receipt, reader: ShardReader) -> RowIndex:
    """Raise DamagedCacheError for what is missing or does not fit; returns the row index, which is whole."""
    absent = sorted(set(expected_files(member.manifest, receipt.folder)) - set(receipt.files))
    if absent:
        raise DamagedCacheError(f"the receipt does not name {absent[0]}, and a shard without it is not whole")
    _check_groups(member, receipt)
    problem = next(_index_problems(reader.index, member.manifest), None)
    if problem:
        raise DamagedCacheError(f"{member.url}/{rows_path(receipt.folder)}: {problem}")
    return reader.index


def _check_groups(member: Member, receipt: Receipt) -> None:
    """What the groups say of themselves is what manifest and receipt say; an error is measured anew by each builder."""
    said: dict[str, Mapping[str, Any]] = {
        f"{receipt.folder}/zarr.json": {"shard": receipt.shard, "rows": receipt.rows},
        **{f"{receipt.folder}/{name}/zarr.json": it.identity() for name, it in member.manifest.signals.items()},
    }
    for name, expected in said.items():
        try:
            found = dict(json.loads(member.store.read(name))["attributes"]["teachercache"])
            found.pop("error", None)
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise DamagedCacheError(f"{member.url}/{name} is no group of a cache ({error!r})") from error
        if json.dumps(found, sort_keys=True) != json.dumps(expected, sort_keys=True):
            raise DamagedCacheError(f"{member.url}/{name} describes something else than manifest and receipt do")


def _index_problems(index: RowIndex, manifest: Manifest) -> Iterator[str]:
    views, rows = manifest.views, len(index)
    if rows % views:
        yield f"{rows} rows are not whole samples of {views} views"
        return
    ids = index.ids.reshape(-1, views)
    labels = index.labels.reshape(-1, views)
    if np.any(index.views.reshape(-1, views) != manifest.first_view + np.arange(views)):
        yield "the views of a sample are not counted up"
    if np.any(ids != ids[:, :1]) or np.any(labels != labels[:, :1]):
        yield "the views of a sample do not share their id and label"
    if len(np.unique(ids[:, 0])) != len(ids):
        yield "two samples have one id"
    if manifest.classes and rows and int(labels.max()) >= len(manifest.classes):
        yield f"label {int(labels.max())} is none of {len(manifest.classes)} classes"
    if not np.isfinite(index.parameters).all():
        yield "a view has a parameter that is not finite"
