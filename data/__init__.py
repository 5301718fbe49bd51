"""Where samples come from: sources of named shards, decoded images, replayable views. NumPy and Pillow, no torch."""

from .errors import DataError
from .fields import decode_field
from .open import open_source
from .sample import Sample, decode
from .source import Shard, Source, check_ids
from .spec import SourceSpec, ViewsSpec
from .views import ViewPolicy

__all__ = [
    "DataError",
    "Sample",
    "Shard",
    "Source",
    "SourceSpec",
    "ViewPolicy",
    "ViewsSpec",
    "check_ids",
    "decode",
    "decode_field",
    "open_source",
]
