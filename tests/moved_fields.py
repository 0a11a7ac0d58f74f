"""Fields moved by a group, by its own transform of arrays: (g x)(q) = σ(g) x(g⁻¹ q)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

import equibasis as eb
from equibasis.nn import FeatureSpace


def moved(group: eb.Group, number: int, x: Tensor, features: FeatureSpace) -> Tensor:
    """What the element of a number makes of fields (batch, n, *grid), or vectors (batch, n)."""
    sigma = torch.from_numpy(features.representation.matrix(number).toarray()).to(x)
    if features.axes:
        images = x.detach().cpu().numpy()
        flat = images.reshape(-1, *images.shape[2:])
        element = group.elements[number]
        turned = np.stack([group.transform(image, element) for image in flat])
        x = torch.from_numpy(turned).view(*x.shape[:2], *turned.shape[1:])
    return torch.einsum("ij,bj...->bi...", sigma, x)


def equivariance_error(
    network: Callable[[Tensor], Tensor],
    group: eb.Group,
    x: Tensor,
    domain: FeatureSpace,
    codomain: FeatureSpace,
) -> float:
    """max ‖f(g x) - g f(x)‖ / ‖f(x)‖ over the elements listed, largest entries as norms."""
    with torch.no_grad():
        y = network(x)
        size = float(y.abs().max())
        return max(
            float((network(moved(group, g, x, domain)) - moved(group, g, y, codomain)).abs().max())
            / size
            for g in range(len(group.elements))
        )
