"""From the settings of a source to the source."""

from collections.abc import Sequence
from pathlib import Path

from .errors import DataError
from .folder import folder_source
from .names import shard_names
from .open_files import TarFile
from .readable import ReadableSource
from .remote_file import RemoteFiles
from .source import Source
from .spec import SourceSpec
from .tar_catalogue import Fields
from .tar_files import tar_files
from .webdataset import TarSource


def open_source(spec: SourceSpec, remote: RemoteFiles | None = None) -> Source:
    """Lists the source's shards; no sample is read yet. Raises DataError when there is nothing to read.

    `remote` finds tar shards that lie elsewhere; without it an address is refused.
    """
    source = folder_source(spec) if spec.kind == "folder" else _tar_source(spec, remote)
    return ReadableSource(source, spec.skip_limit) if spec.on_error == "skip" else source


def _tar_source(spec: SourceSpec, remote: RemoteFiles | None) -> TarSource:
    files = _files((spec.path,) if isinstance(spec.path, str) else spec.path, remote)
    names = shard_names([Path(str(file)) for file in files])
    fields = Fields(
        image=_extensions(spec.image),
        label=spec.label and spec.label.lower().lstrip("."),
        classes=len(spec.classes),
        others=tuple((name, field.kind, _extensions(field.ext)) for name, field in spec.fields.items()),
        optional=frozenset(name for name, field in spec.fields.items() if field.optional),
    )
    sizes = {name: _bytes(file) for name, file in zip(names, files, strict=True)}
    return TarSource(dict(zip(names, files, strict=True)), sizes, fields, spec.classes)


def _extensions(extensions: Sequence[str]) -> tuple[str, ...]:
    return tuple(extension.lower().lstrip(".") for extension in extensions)


def _files(patterns: Sequence[str], remote: RemoteFiles | None) -> Sequence[TarFile]:
    local = [pattern.removeprefix("file://") for pattern in patterns]
    addresses = [pattern for pattern in local if "://" in pattern]
    if addresses and len(addresses) < len(patterns):
        raise DataError("source.path: some of its shards are local and some are not. Put them into one place")
    return remote(addresses) if addresses and remote is not None else tar_files(local)


def _bytes(file: TarFile) -> int:
    return file.stat().st_size if isinstance(file, Path) else file.bytes
