"""Equivariant maps by Fourier transforms, where the group is the shifts of a torus."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from equibasis.nn.buffers import ExactBuffers
from equibasis.nn.gather import Orbits
from equibasis.nn.tracing import autocasts, with_adjoint
from equibasis.solvers.basis import Basis
from equibasis.symmetry.irreps import Torus
from equibasis.symmetry.summands import Summand


class TorusMap(ExactBuffers):
    """x -> W x where the group is the shifts of a torus: convolution by Fourier transforms."""

    points: Tensor

    def __init__(self, basis: Basis, shifts: Torus) -> None:
        super().__init__()
        (block,) = basis.blocks
        self.cycles = shifts.cycles
        self.shape = block.output.multiplicity, block.input.multiplicity, block.table.rank
        # Point u of the torus is point[u] of the orbit, and W[0, q] has coefficient q.
        input_, output = (_reordered(each, shifts.points) for each in (block.input, block.output))
        self.input, self.output = Orbits([input_]), Orbits([output])
        self.register_exact("points", shifts.points)

    @property
    def multiplications(self) -> float:
        """How many a vector takes, its weights made."""
        d, c, t = self.shape
        return 2.0 * t * d * c + 2.5 * (d + c) * t * math.log2(t)

    def spectrum(self, coefficients: Tensor) -> Tensor:
        """Transform the kernel, (frequencies, outputs, inputs)."""
        d, c, t = self.shape
        kernel = _fourier_type(coefficients).view(d, c, t).index_select(2, self.points)
        axes = tuple(range(2, 2 + len(self.cycles)))
        spectrum = torch.fft.rfftn(kernel.view(d, c, *self.cycles), dim=axes).conj()
        return spectrum.flatten(2).permute(2, 0, 1)

    def forward(self, x: Tensor, coefficients: Tensor) -> Tensor:
        """(batch, m), (rank,) -> (batch, k)."""
        (d, c, t), batch = self.shape, x.shape[0]
        part = with_adjoint(x, self.input.gather, self.input.scatter)
        kernel = self.spectrum(coefficients)
        axes = tuple(range(len(self.cycles)))
        signal = torch.fft.rfftn(_fourier_type(part).view(*self.cycles, c, batch), dim=axes)
        flat = signal.flatten(0, axes[-1])
        product = kernel * flat if d == c == 1 else kernel @ flat
        shaped = product.reshape(*signal.shape[: len(axes)], d, batch)
        y = torch.fft.irfftn(shaped, s=self.cycles, dim=axes)
        device = x.device.type
        dtype = torch.get_autocast_dtype(device) if autocasts(device) else x.dtype
        rows = y.reshape(t * d, batch).to(dtype)
        return with_adjoint(rows, self.output.scatter, self.output.gather)


def _reordered(summand: Summand, points: np.ndarray) -> Summand:
    signs = None if summand.signs is None else summand.signs[points]
    return Summand(summand.type, summand.index[points], signs)


def _fourier_type(x: Tensor) -> Tensor:
    """Fourier transforms need float32 at least."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
