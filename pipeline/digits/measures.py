"""What both experiments measure models by."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from equibasis.errors import ModelError


def largest_ratio(differences: Tensor, vectors: Tensor) -> Tensor:
    """Return the largest ‖difference‖ / ‖vector‖ of the rows of two matrices."""
    of_difference, of_vector = differences.norm(dim=1), vectors.norm(dim=1)
    # Nothing over nothing is no breach; NaN stays NaN, so that it cannot pass for symmetry.
    nothing = (of_difference == 0) & (of_vector == 0)
    return torch.where(nothing, 0.0, of_difference / of_vector).max()


def rounded(value: float) -> float:
    """Seven significant digits: all that float32 training can mean."""
    if not math.isfinite(value):
        raise ModelError("a model gives NaN or infinity on test digits: train it again")
    return float(f"{value:.7g}")
