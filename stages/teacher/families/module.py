"""Any torch module: the user's own factory builds it, weights and all, and its forward takes what teacher.inputs names.

It is heard at the paths of its modules, and at `logits`, which is what it returns.
"""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import xxhash
from torch import Tensor, nn

from ....cache.spec import SignalSpec
from ...errors import StageError
from ...importable import call_builder, import_callable
from ..signals.signal_schema import Heard
from ..spec import TeacherSpec
from .hearing import Hearing
from .loading import DTYPES, heard_only


class Module:
    """A teacher that a factory of the user's builds; an `Adapter`."""

    def __init__(
        self, spec: TeacherSpec, folder: Path, signals: Mapping[str, SignalSpec], device: torch.device
    ) -> None:
        self.device, self._use = device, spec.use
        self.model = heard_only(build_module(spec).to(DTYPES[spec.dtype]), device)
        self._dtype, self._width = DTYPES[spec.dtype], 0
        self._hearing = Hearing(self.model, signals, device, spec.autocast)

    @property
    def config(self) -> Any:
        return getattr(self.model, "config", None)

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Heard]:
        """Its forward is called with `inputs` by name, each (B, ...), numbers with a point in the teacher's dtype."""
        given = {name: x.to(self._dtype) if x.is_floating_point() else x for name, x in inputs.items()}
        return self._hearing.run(len(next(iter(given.values()))), lambda: self._forward(given))

    def facts(self) -> dict[str, Any]:
        return self._hearing.facts()

    def classes(self) -> tuple[str, ...]:
        """Numbers, as many as logits were returned in the last pass: a module has no names for its classes."""
        return tuple(map(str, range(self._width)))

    def constants(self) -> Mapping[str, Tensor]:
        return {}

    def close(self) -> None:
        self._hearing.close()

    def _forward(self, inputs: Mapping[str, Tensor]) -> None:
        try:
            output = self.model(**inputs)
        except StageError:
            raise
        except Exception as error:  # the user's code may raise anything
            shapes = ", ".join(f"{name} {tuple(x.shape)}" for name, x in inputs.items())
            raise StageError(
                f"teacher.use: {self._use} failed with {type(error).__name__} when it was called with {shapes}: {error}"
            ) from error
        logits = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", output)
        self._width = logits.shape[1] if isinstance(logits, Tensor) and logits.ndim == 2 else 0


def build_module(spec: TeacherSpec) -> nn.Module:
    """What the factory returns. Raises StageError when it cannot be imported, fails, or returns no module."""
    return call_builder(import_callable(str(spec.use)), str(spec.use), spec.args, {})


def module_folder(spec: TeacherSpec) -> Path:
    """Where the factory's code lies."""
    return _code(spec).parent


def module_fingerprint(spec: TeacherSpec) -> dict[str, Any]:
    """What decides the numbers of a module: its weights as the factory gives them, its code, inputs, precision."""
    return {
        "family": "module",
        "use": spec.use,
        "args": dict(spec.args),
        "weights": _weights_hash(build_module(spec)),
        "code": xxhash.xxh3_128_hexdigest(_code(spec).read_bytes()),
        "inputs": dict(spec.inputs),
        "max_tokens": spec.max_tokens,
        "dtype": spec.dtype,
        "autocast": spec.autocast,
    }


def _code(spec: TeacherSpec) -> Path:
    try:
        return Path(inspect.getfile(import_callable(str(spec.use))))
    except TypeError as error:
        raise StageError(f"teacher.use: {spec.use} has no source file: name a function or a class of Python") from error


def _weights_hash(module: nn.Module) -> str:
    state = xxhash.xxh3_128()
    for name, tensor in sorted(module.state_dict().items()):
        state.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        state.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return state.hexdigest()
