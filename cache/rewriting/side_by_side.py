"""Several teachers on one set of samples: every signal of every parent, each under the name of its teacher.

The parents must agree on samples, views and labels, row for row. Anything else is an error that names the sample.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..cache import Cache
from ..errors import CacheError
from ..format.privacy import together
from ..format.schema import SignalSchema, check_name
from .agreement import check_same_keys, described, index_of, rows_of, view_signals
from .origin import Copied, Origin
from .rewrite import Rewrite


def side_by_side_plan(parents: Sequence[Cache], names: Sequence[str]) -> Rewrite:
    """How to put caches side by side; signal `s` of the parent that is called `a` becomes `a.s`. Pixels are kept once.

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
    shared = view_signals(parents)
    for name, parent in zip(names, parents, strict=True):
        constants |= {f"{name}.{constant}": parent.constant(constant) for constant in parent.manifest.constants}
        for signal, schema in parent.manifest.signals.items():
            if signal in shared:
                continue
            kept = {argument: f"{name}.{constant}" for argument, constant in schema.constants.items()}
            schemas[f"{name}.{signal}"] = replace(schema, name=f"{name}.{signal}", constants=kept)
            origins[f"{name}.{signal}"] = Copied(parent, signal)
    schemas |= {signal: parent.manifest.signals[signal] for signal, parent in shared.items()}
    origins |= {signal: Copied(parent, signal) for signal, parent in shared.items()}
    manifest = replace(
        parents[0].manifest,
        fingerprint=_fingerprint(parents, names, shared),
        signals=schemas,
        constants={},
        teacher={name: dict(parent.manifest.teacher) for name, parent in zip(names, parents, strict=True)},
        privacy=together(parent.manifest.privacy for parent in parents),
    )
    return Rewrite(manifest, tuple(parents), origins, index_of(parents), rows_of(parents), constants)


def _fingerprint(parents: Sequence[Cache], names: Sequence[str], shared: Mapping[str, Cache]) -> dict[str, Any]:
    first = parents[0].manifest.fingerprint
    signals: dict[str, Any] = {signal: described(parent, signal) for signal, parent in shared.items()}
    teachers: dict[str, Any] = {}
    for name, parent in zip(names, parents, strict=True):
        own = (signal for signal in parent.signals if signal not in shared)
        signals |= {f"{name}.{signal}": described(parent, signal) for signal in own}
        teachers[name] = parent.manifest.fingerprint.get("teacher")
    derived = {"verb": "merge", "parents": [parent.manifest.digest for parent in parents], "names": list(names)}
    return {**first, "teacher": teachers, "signals": signals, "derived": derived}
