"""A member: one directory with a manifest, receipts and shards; a rectangle of the grid. The base is one, and so is
each extension."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..codecs import Codec
from ..errors import CacheError
from ..format.constants import read_constant
from ..format.manifest import Manifest
from ..format.receipt import Receipt, read_receipt
from ..format.receipt_table import ReceiptTable
from ..lazy import lazy_property
from ..reading.receipt_listing import Receipts, check_receipt, open_table
from ..reading.shard_reader import ShardReader, schema_of
from ..reading.signal_rows import Slab
from ..storage.store import Store
from ..tables.array_place import Records
from ..writing.shard_writer import ShardWriter
from .rectangle import Rectangle


class Member:
    """`name` is the extension's, "" for the base. What is finished is what was so when the member was first asked. With
    `check` files are compared with their receipts before they are read."""

    def __init__(self, name: str, store: Store, manifest: Manifest, check: bool = False) -> None:
        self.name, self.store, self.manifest, self._check = name, store, manifest, check
        self._readers: dict[str, ShardReader] = {}
        self._codecs: dict[str, Codec] = {}
        self._constants: dict[str, np.ndarray] = {}

    @property
    def url(self) -> str:
        """Where the member is, for messages."""
        return self.store.url

    @lazy_property
    def table(self) -> ReceiptTable:
        """The finished shards, in the manifest's order."""
        return open_table(self.store, self.manifest)

    @lazy_property
    def rectangle(self) -> Rectangle:
        """The part of the grid that this member is to hold, finished or not."""
        manifest = self.manifest
        return Rectangle(manifest.shards, manifest.first_view, manifest.views, tuple(manifest.signals))

    @lazy_property
    def receipts(self) -> Mapping[str, Receipt]:
        """Receipts of the finished shards, each read when it is asked for."""
        return Receipts(self.store, self.table)

    def receipt(self, shard: str) -> Receipt | None:
        """The shard's receipt as it is now. Raises DamagedCacheError when it belongs to another manifest."""
        receipt = read_receipt(self.store, shard)
        return None if receipt is None else check_receipt(self.store, self.manifest, receipt)

    def missing(self) -> tuple[str, ...]:
        """Shards without a receipt, in the source's order."""
        return tuple(shard for shard in self.manifest.shards if shard not in self.table.places)

    def codec(self, signal: str) -> Codec:
        """The codec of a signal. Raises CacheError for an unknown signal."""
        if signal not in self._codecs:
            schema = schema_of(self.manifest, signal)
            self._codecs[signal] = schema.build({name: self.constant(name) for name in schema.constants.values()})
        return self._codecs[signal]

    def constant(self, name: str) -> np.ndarray:
        """What is kept once under this name, read-only. Raises CacheError when there is no such constant."""
        if name not in self.manifest.constants:
            raise CacheError(f"{self.url} keeps no constant {name!r}; it has {', '.join(self.manifest.constants)}")
        if name not in self._constants:
            self._constants[name] = read_constant(self.store, name, self.manifest.constants[name])
        return self._constants[name]

    def reader(self, shard: str) -> ShardReader:
        """A reader of a finished shard, opened once. Raises CacheError when the shard has no receipt."""
        if shard not in self._readers:
            if shard not in self.table.places:
                raise CacheError(f"{self.url} has no finished shard {shard!r}; `teachercache cache build` makes it")
            self._readers[shard] = ShardReader(
                self.store, self.manifest, self.table.finished(shard), self._records(shard)
            )
        return self._readers[shard]

    def slabs(self) -> list[Slab]:
        """Where the arrays of each finished shard are."""
        table = self.table
        found = zip(table.shards, table.folders, table.rows.tolist(), strict=True)
        return [Slab(self.store, folder, rows, self._records(shard)) for shard, folder, rows in found]

    def _records(self, shard: str) -> Records | None:
        """The files of the shard's receipt, where they are to be checked."""
        return (lambda: self.receipts[shard].files) if self._check else None

    def writer(self, shard: str) -> ShardWriter:
        """A writer of one attempt at a shard."""
        return ShardWriter(self.store, self.manifest, shard)

    def state(self) -> tuple[Any, ...]:
        """What another process needs to read the same rows, whatever is built in the meantime."""
        return self.name, self.manifest, self.table, self._check

    @classmethod
    def of_state(cls, root: Store, state: tuple[Any, ...]) -> "Member":
        """The member of a `state`, below the cache's own store."""
        from .extension import extension_folder

        name, manifest, table, check = state
        member = cls(name, root.below(extension_folder(name)) if name else root, manifest, check)
        member.__dict__["table"] = table
        return member
