"""Channels of convolutions and units of linear layers: torch-pruning says which belong together and go together.

A layer whose width an output has (the classes, an embedding that a term reads) stays whole, and so does one that the
student cannot do without. Loading a pruned student needs no torch-pruning.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from math import lcm
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import StageError
from .picks import Picks, fit, numbered

Shapes = Mapping[str, tuple[int, ...]]
Run = Callable[[nn.Module], Mapping[str, Tensor]]  # a forward pass of blank rows: the outputs that are asked for
_LAYERS = (nn.modules.conv._ConvNd, nn.Linear)


@dataclass(frozen=True, slots=True)
class ChannelPruner:
    """`run` does a forward pass; `sizes` are the layers that may lose channels and how many they had at first."""

    run: Run
    sizes: Mapping[str, int]

    def prune(self, student: nn.Module, scores: Mapping[str, Tensor], kept: Callable[[int], int]) -> Picks:
        """What is kept of every tensor when of each layer that had n channels the best kept(n) stay."""
        scored, places = (_Copy(student, self.run) for _ in range(2))
        scored.fill({name: value.double().cpu() for name, value in scores.items()})
        places.fill({name: numbered(tensor.shape).double() for name, tensor in student.state_dict().items()})
        for layer, going in scored.going(self.sizes, kept):
            scored.remove(layer, going)
            places.remove(layer, going)
        return {name: tensor.long() for name, tensor in places.module.state_dict().items()}

    def resized(self, student: nn.Module, shapes: Shapes) -> nn.Module:
        """A copy of the student with tensors of these shapes, which hold nothing yet."""
        found = deepcopy(student)
        fit(found, shapes)
        return found


def channel_pruner(student: nn.Module, run: Run, place: str) -> ChannelPruner:
    """Look for the layers that may lose channels. Raises StageError where there are none."""
    sizes = {}
    for name, module in student.named_modules():
        if isinstance(module, _LAYERS) and _may_lose(student, name, run):
            sizes[name] = len(module.weight)
    if not sizes:
        raise StageError(
            f"{place}.prune: nothing of a {type(student).__name__} can be pruned: every layer that could lose channels "
            "gives an output its width, or is read by layers that cannot lose any (LSTMs)"
        )
    return ChannelPruner(run, sizes)


def _may_lose(student: nn.Module, layer: str, run: Run) -> bool:
    """Whether the student says as much without one channel of a layer, asked of a copy."""
    wanted = {name: value.shape for name, value in run(student).items()}
    copy = _Copy(student, run)
    try:
        count = copy.together(layer)
        size = len(copy.module.state_dict()[f"{layer}.weight"])
        if size // count < 2:
            return False
        copy.remove(layer, [part * (size // count) for part in range(count)])
        return {name: value.shape for name, value in run(copy.module).items()} == wanted
    except Exception:  # whatever torch-pruning or the student says of a layer that cannot go
        return False


class _Copy:
    """A copy of a student whose layers are known to torch-pruning by what they depend on."""

    def __init__(self, student: nn.Module, run: Run) -> None:
        self._library = _torch_pruning()
        self.module = deepcopy(student).cpu()
        for parameter in self.module.parameters():
            parameter.requires_grad_(True)
        with _quiet(), torch.enable_grad():
            self._graph = self._library.DependencyGraph().build_dependency(
                self.module, example_inputs=(), forward_fn=lambda module, _: list(run(module).values()), verbose=False
            )

    def fill(self, values: Mapping[str, Tensor]) -> None:
        """Write numbers in the place of tensors, by name; torch-pruning cuts them as it would the weights."""
        for name, tensor in self.module.state_dict(keep_vars=True).items():
            if name in values:
                tensor.data = values[name].clone()

    def going(self, sizes: Mapping[str, int], kept: Callable[[int], int]) -> Iterator[tuple[str, list[int]]]:
        """(layer, the channels of it that score least), one layer for all that go together. The caller removes them."""
        names = {module: name for name, module in self.module.named_modules()}
        whole = [one for one, name in names.items() if isinstance(one, _LAYERS) and name not in sizes]
        measure = self._library.importance.MagnitudeImportance(p=1, group_reduction="sum", normalizer=None, bias=True)
        for group in self._graph.get_all_groups(ignored_layers=whole):
            layer = names[group[0].dep.target.module]
            scores, count = measure(group), self.together(layer)
            _check_scores(scores, layer)
            rows = scores.view(count, -1)
            stays = -(-kept(sizes[layer]) // count)
            going = rows.argsort(dim=1, stable=True)[:, : max(0, rows.shape[1] - stays)]
            going = going + torch.arange(count)[:, None] * rows.shape[1]
            if going.numel():
                yield layer, sorted(going.flatten().tolist())

    def together(self, layer: str) -> int:
        """In how many equal parts a layer must lose as many: those of group norms and grouped convolutions."""
        inside = [dep.target.module for dep, _ in self._group(layer, [0])]
        norms = [module.num_groups for module in inside if isinstance(module, nn.GroupNorm)]
        grouped = [module.groups for module in inside if isinstance(module, nn.modules.conv._ConvNd)]
        depthwise = [m.groups for m in inside if isinstance(m, nn.modules.conv._ConvNd) and m.groups == m.out_channels]
        return lcm(*norms, *(groups for groups in grouped if groups not in depthwise))

    def remove(self, layer: str, channels: list[int]) -> None:
        """Take channels out of a layer, and what depends on them out of the others."""
        self._group(layer, channels).prune(record_history=False)

    def _group(self, layer: str, channels: list[int]) -> Any:
        module = self.module.get_submodule(layer)
        out = self._graph.get_pruner_of_module(module).prune_out_channels
        return self._graph.get_pruning_group(module, out, channels)


def _check_scores(scores: Tensor, layer: str) -> None:
    if not bool(scores.isfinite().all()) or not bool(scores.any()):
        raise StageError(
            f"prune: all channels of {layer} are worth nothing, so none can be chosen: it did not train before; prune "
            "later (prune.start), or choose importance: l2"
        )


def _torch_pruning() -> Any:
    try:
        import torch_pruning
    except ImportError as error:
        raise StageError("prune: channels need torch-pruning: pip install 'teachercache[prune]'") from error
    return torch_pruning


@contextmanager
def _quiet() -> Iterator[None]:
    """torch-pruning warns of parameters that no layer owns, which stay whole here."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
