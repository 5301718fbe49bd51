"""Which numbers of each tensor are kept when a student is pruned, and a module made to hold as many."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

Picks = Mapping[str, Tensor]  # by name in the state: places in the flat old tensor, int64, in the shape of the new one


def picked(value: Tensor, picks: Picks, name: str) -> Tensor:
    """What is kept of a tensor that has the (old) shape of tensor `name`; all of it where nothing is said."""
    places = picks.get(name)
    return value if places is None else value.detach().flatten()[places.to(value.device)]


def numbered(shape: torch.Size) -> Tensor:
    """The places of a tensor, in its shape."""
    return torch.arange(shape.numel()).view(shape)


def shapes_of(student: nn.Module) -> dict[str, tuple[int, ...]]:
    """{name in the state: shape}."""
    return {name: tuple(tensor.shape) for name, tensor in student.state_dict().items()}


def fit(student: nn.Module, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Give the layers of `student` tensors of these shapes, in place; what they hold is undefined until it is loaded.

    Tensors that are not named stay as they are. Layers of torch then say their new numbers of channels too.
    """
    for path, module in student.named_modules():
        prefix, changed = f"{path}." if path else "", False
        for own in (module._parameters, module._buffers):
            for name, tensor in own.items():
                shape = shapes.get(prefix + name)
                if tensor is None or shape is None or tuple(tensor.shape) == tuple(shape):
                    continue
                new = tensor.new_zeros(shape)
                own[name] = nn.Parameter(new, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else new
                changed = True
        if changed:
            _tell(module)


def _tell(module: nn.Module) -> None:
    """The numbers that a layer of torch keeps beside its tensors."""
    weight = module._parameters.get("weight")
    if isinstance(module, nn.modules.conv._ConvNd):
        assert weight is not None
        if module.groups == module.in_channels == module.out_channels:  # depthwise stays depthwise
            module.groups = weight.shape[0]
        inside, outside = (0, 1) if module.transposed else (1, 0)
        many = (weight.shape[inside], weight.shape[outside] * module.groups)
        module.in_channels, module.out_channels = (
            many if module.transposed else (many[0] * module.groups, weight.shape[outside])
        )
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, nn.modules.batchnorm._NormBase):
        known = weight if weight is not None else module.running_mean
        module.num_features = module.num_features if known is None else len(known)
    elif isinstance(module, nn.GroupNorm) and weight is not None:
        module.num_channels = len(weight)
    elif isinstance(module, nn.LayerNorm) and weight is not None:
        module.normalized_shape = tuple(weight.shape)
    elif isinstance(module, nn.PReLU) and weight is not None:
        module.num_parameters = len(weight)
