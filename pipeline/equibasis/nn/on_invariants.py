"""What may follow invariant features: any module, as the group moves nothing there."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from equibasis.errors import ModelError
from equibasis.nn.border import check_vectors
from equibasis.nn.interface import FeatureSpace, features_of, shown
from equibasis.solvers.basis import Basis


class OnInvariants(nn.Module):
    """Any module, after invariant features: whatever it makes of them is invariant too.

    Parameters
    ----------
    module
        Takes (batch, n) to (batch, n').
    features
        The space of the invariant features, on which every ρ(g) = 1.

    Raises
    ------
    ModelError
        If the group moves the features, or the module does not take them.
    """

    def __init__(self, module: nn.Module, features: FeatureSpace | Basis) -> None:
        super().__init__()
        if not isinstance(module, nn.Module):
            raise ModelError(f"OnInvariants needs a torch module, not {shown(module)}")
        space = features_of(features, "OnInvariants")
        if not space.is_trivial:
            raise ModelError(
                f"{type(module).__name__} may act on invariant features, and not on {space}"
            )
        self.module = module
        self.domain, self.codomain = space, space.scalars(_outputs(module, space))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n) -> (batch, n')."""
        check_vectors(self, x)
        y: Tensor = self.module(x)
        return y


def _outputs(module: nn.Module, features: FeatureSpace) -> int:
    """The length of what a module makes of (batch, n)."""
    parameter = next(module.parameters(), torch.empty(0))
    probe = torch.zeros(2, features.dimension).to(parameter)
    trial = copy.deepcopy(module).eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            made = trial(probe)
    except Exception as error:  # whatever the module raises
        raise ModelError(
            f"{type(module).__name__} does not take {features}, of {features.dimension} "
            f"features: {' '.join(str(error).split())}"
        ) from error
    shape = tuple(made.shape) if isinstance(made, Tensor) else (type(made).__name__,)
    if len(shape) != 2 or shape[0] != 2 or shape[1] == 0:
        raise ModelError(
            f"{type(module).__name__} makes {shape} of (2, {features.dimension}), and not (2, n) "
            "with n from 1 on"
        )
    return shape[1]
