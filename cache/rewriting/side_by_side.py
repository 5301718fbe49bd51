"""Several teachers on one set of samples: every signal of every parent, each under the name of its teacher.

The parents must agree on samples, views and labels, row for row. Anything else is an error that names the sample.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..cache import Cache
from ..errors import CacheError
from ..format.schema import SignalSchema, check_name
from .agreement import check_same_keys, index_of, rows_of
from .origin import Copied, Origin
from .rewrite import Rewrite


def side_by_side_plan(parents: Sequence[Cache], names: Sequence[str]) -> Rewrite:
    """How to put caches side by side; signal `s` of the parent that is called `a` becomes `a.s`.

    Raises CacheError for names that are no names, and for parents over other samples or views.
    """
    if len(set(names)) != len(parents):
        raise CacheError(f"{len(parents)} caches need {len(parents)} different names, not {', '.join(names)}")
    for name in names:
        check_name(name, "teacher")
    check_same_keys(parents)
    schemas: dict[str, SignalSchema] = {}
    origins: dict[str, Origin] = {}
    constants: dict[str, np.ndarray] = {}
    for name, parent in zip(names, parents, strict=True):
        constants |= {f"{name}.{constant}": parent.constant(constant) for constant in parent.manifest.constants}
        for signal, schema in parent.manifest.signals.items():
            kept = {argument: f"{name}.{constant}" for argument, constant in schema.constants.items()}
            schemas[f"{name}.{signal}"] = replace(schema, name=f"{name}.{signal}", constants=kept)
            origins[f"{name}.{signal}"] = Copied(parent, signal)
    manifest = replace(
        parents[0].manifest,
        fingerprint=_fingerprint(parents, names),
        signals=schemas,
        constants={},
        teacher={name: dict(parent.manifest.teacher) for name, parent in zip(names, parents, strict=True)},
    )
    return Rewrite(manifest, tuple(parents), origins, index_of(parents), rows_of(parents), constants)


def _fingerprint(parents: Sequence[Cache], names: Sequence[str]) -> dict[str, Any]:
    first = parents[0].manifest.fingerprint
    described: dict[str, Any] = {}
    teachers: dict[str, Any] = {}
    for name, parent in zip(names, parents, strict=True):
        fingerprint: Mapping[str, Any] = parent.manifest.fingerprint
        described |= {f"{name}.{signal}": about for signal, about in fingerprint.get("signals", {}).items()}
        teachers[name] = fingerprint.get("teacher")
    derived = {"verb": "merge", "parents": [parent.manifest.digest for parent in parents], "names": list(names)}
    return {**first, "teacher": teachers, "signals": described, "derived": derived}
