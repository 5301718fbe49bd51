"""From the settings of a source to the source."""

from .folder import folder_source
from .names import shard_names
from .source import Source
from .spec import SourceSpec
from .tar_catalogue import Fields
from .tar_files import tar_files
from .webdataset import TarSource


def open_source(spec: SourceSpec) -> Source:
    """Lists the source's shards; no sample is read yet. Raises DataError when there is nothing to read."""
    return folder_source(spec) if spec.kind == "folder" else _tar_source(spec)


def _tar_source(spec: SourceSpec) -> TarSource:
    files = tar_files(spec.path)
    names = shard_names(files)
    fields = Fields(
        image=tuple(field.lower().lstrip(".") for field in spec.image),
        label=spec.label and spec.label.lower().lstrip("."),
        classes=len(spec.classes),
    )
    sizes = {name: file.stat().st_size for name, file in zip(names, files, strict=True)}
    return TarSource(dict(zip(names, files, strict=True)), sizes, fields, spec.classes)
