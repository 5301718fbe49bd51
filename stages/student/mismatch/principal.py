"""`projector: pca`: a target on the first of its own main directions, as many as the student is wide."""

import numpy as np
import torch

from ...errors import StageError
from .width import PrincipalAxes


def principal_axes(mean: np.ndarray, basis: np.ndarray, width: int) -> PrincipalAxes:
    """The first `width` axes of a cache's own PCA: `mean` (d,), `basis` (d, k), largest variance first.

    Raises StageError for a student that is wider than the directions that are kept.
    """
    if width > basis.shape[1]:
        raise StageError(f"projector: pca keeps {basis.shape[1]} directions, and the student is {width} wide")
    return PrincipalAxes(torch.from_numpy(mean.copy()).float(), torch.from_numpy(basis[:, :width].copy()).float())
