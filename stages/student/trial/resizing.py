"""What an optimiser knows of the parameters of a student that loses some of its numbers."""

from typing import Any

import torch
from torch import Tensor, nn

from ..pruning.picks import Picks, picked


def kept_states(optimizer: torch.optim.Optimizer, student: nn.Module, picks: Picks) -> dict[int, dict[str, Any]]:
    """The optimiser's states by number, those of the student's parameters (means of gradients) cut as they are."""
    names = {id(parameter): name for name, parameter in student.named_parameters()}
    trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    states = optimizer.state_dict()["state"]
    return {number: _kept(state, trained[number], names, picks) for number, state in states.items()}


def _kept(state: dict[str, Any], parameter: Tensor, names: dict[int, str], picks: Picks) -> dict[str, Any]:
    name = names.get(id(parameter))
    if name is None:
        return dict(state)
    return {
        key: picked(value, picks, name) if value.shape == parameter.shape else value for key, value in state.items()
    }
