"""The folder that a student is cut from: its config, its weights tensor by tensor, and what it is known by.

It refuses weights that are no safetensors, and those that transformers would have to convert as it loads them.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import torch
import xxhash
from torch import Tensor

from ....capture.points import nearest
from ....errors import StageError
from ..task import task_class

_CHUNK = 1 << 22


class Origin:
    """A model's folder, read as what was saved or as the class of transformers of another `task` on the same body.

    Raises StageError for one without config.json and safetensors, and for a task that its config has no model for.
    """

    def __init__(self, folder: Path, task: str | None = None) -> None:
        self.folder, self._task = folder, task
        self._files = sorted(folder.glob("*.safetensors"))
        if not self._files or not (folder / "config.json").is_file():
            raise StageError(
                f"args.model: {folder} needs config.json and *.safetensors, as save_pretrained writes them (pickled "
                "weights are not read)"
            )

    @cached_property
    def config(self) -> Any:
        """As transformers reads it, anew each time a process asks."""
        return read_config(self.folder)

    @cached_property
    def model_class(self) -> Any:
        """The class that the student is of."""
        return self._saved_class if self._task is None else task_class(type(self.config), self._task)

    @cached_property
    def _saved_class(self) -> Any:
        return saved_class(self.folder, self.config)

    @property
    def fingerprint(self) -> str:
        """xxh3-128 of config and weights."""
        return fingerprint_of((self.folder / "config.json", *self._files))

    @cached_property
    def shape(self) -> Any:
        """The whole model without any numbers: names and shapes."""
        return without_numbers(self.model_class, self.config)

    def lacks(self, name: str) -> bool:
        """Whether a tensor of the model is none of what was saved: the head of another task. Of the saved class all
        must be there."""
        if self.model_class is self._saved_class or self._find(name) is not None:
            return False
        inside = name.startswith(f"{self.shape.base_model_prefix}.") or not self.shape.base_model_prefix
        return "pooler" in name or not inside

    def read(self, name: str) -> Tensor:
        """A tensor of the model by its name there, in float32. Raises StageError where the files have none."""
        found = self._find(name)
        if found is None:
            raise StageError(f"args.model: {self.folder} has no weights {name}")
        file, key, plain = found
        if not plain:
            raise StageError(f"args.model: {file} keeps {key} in another form than the model, which cannot be cut")
        from safetensors import safe_open

        with safe_open(file, framework="pt") as tensors:
            value: Tensor = tensors.get_tensor(key)
        return value.float() if value.is_floating_point() else value

    def _find(self, name: str) -> tuple[Path, str, bool] | None:
        """Where a tensor is; a tied one may stand under its other name."""
        if name in self._keys:
            return self._keys[name]
        state = self.shape.state_dict(keep_vars=True)
        tied = [other for other, tensor in state.items() if tensor is state.get(name) and other in self._keys]
        return self._keys[tied[0]] if tied else None

    @cached_property
    def _keys(self) -> Mapping[str, tuple[Path, str, bool]]:
        """{name in the model: (file, name there, whether it is kept as it is)}."""
        return dict(_named(self.shape, self._files))


def fingerprint_of(files: Iterable[Path]) -> str:
    """xxh3-128 of files; those that have not changed are not read again."""
    return _hash(tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in files))


def read_config(folder: Path) -> Any:
    """config.json as transformers reads it. Raises StageError when it cannot."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise StageError(f"args.model: {folder}/config.json cannot be read by transformers ({error})") from error


def saved_class(folder: Path, config: Any) -> Any:
    """The class of transformers that config.json names. Raises StageError for none, or an unknown one."""
    import transformers

    names = config.architectures or [None]
    found = getattr(transformers, str(names[0]), None)
    if found is None:
        close = nearest(str(names[0]), dir(transformers))
        raise StageError(f"args.model: {folder}/config.json names {names[0]}, no class of transformers{close}")
    return found


def without_numbers(kind: Any, config: Any) -> Any:
    """A model of names and shapes alone."""
    with torch.device("meta"):
        return kind._from_config(config)


def _named(model: Any, files: list[Path]) -> Iterator[tuple[str, tuple[Path, str, bool]]]:
    """The names of a file's tensors as transformers translates them: older folders, and some newer, have other ones."""
    from safetensors import safe_open
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter, rename_source_key

    known = model.state_dict()
    transforms = get_model_conversion_mapping(model)
    converters = [found for found in transforms if isinstance(found, WeightConverter)]
    renamings: list[Any] = [found for found in transforms if not isinstance(found, WeightConverter)]
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118 - not a dict
                name, converted = rename_source_key(key, renamings, converters, model.base_model_prefix, known)
                yield name, (file, key, converted is None)


@lru_cache(maxsize=16)
def _hash(files: tuple[tuple[Path, int, int], ...]) -> str:
    """By path, size and time: read again only when one of them changed."""
    state = xxhash.xxh3_128()
    for path, _, _ in files:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                state.update(chunk)
    return state.hexdigest()
