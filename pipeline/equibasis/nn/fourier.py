"""Equivariant maps by Fourier transforms, where the group is the shifts of a torus."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from equibasis.nn.factored import FactoredMap
from equibasis.nn.tracing import autocasts
from equibasis.solvers.basis import Basis
from equibasis.symmetry.irreps import Torus


class TorusMap(FactoredMap):
    """x -> W x where the group is the shifts of a torus: correlation by Fourier transforms.

    y_d(q) = Σ_c Σ_s w_dc(s) x_c(q + s), so that ŷ_d = Σ_c conj(ŵ_dc) x̂_c at each frequency.

    Parameters
    ----------
    basis
        Of Hom_G(X, Y), all copies of one orbit.
    shifts
        That orbit.
    """

    def __init__(self, basis: Basis, shifts: Torus) -> None:
        super().__init__()
        (block,) = basis.blocks
        self.cycles = shifts.cycles
        self.outputs, self.inputs = block.output.multiplicity, block.input.multiplicity
        self.size = block.table.rank
        # Point u of the torus is point[u] of the orbit, and W[0, q] has coefficient q.
        self.register_order("points", shifts.points)
        for name, summand in (("input", block.input), ("output", block.output)):
            self.register_order(name, summand.index[shifts.points].T.ravel())
            signs = None
            if summand.signs is not None:
                signs = summand.signs[shifts.points].T.ravel().astype(np.float64)
            self.register_exact(f"{name}_signs", signs)

    @property
    def multiplications(self) -> float:
        """How many a vector takes, its weights made."""
        d, c, t = self.outputs, self.inputs, self.size
        return 2.0 * t * d * c + 2.5 * (d + c) * t * math.log2(t)

    def forward(self, x: Tensor, coefficients: Tensor) -> Tensor:
        """(batch, m), (rank,) -> (batch, k)."""
        device = x.device.type
        dtype = torch.get_autocast_dtype(device) if autocasts(device) else x.dtype
        return super().forward(_fourier_type(x), _fourier_type(coefficients)).to(dtype)

    def factors(self, x: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, m), (rank,) -> conj(ŵ), (frequencies, d, c), and x̂, (frequencies, c, batch)."""
        kernel = coefficients.view(self.outputs, self.inputs, self.size)
        spectrum = self._transformed(self.ordered("points", kernel, 2)).conj()
        return spectrum.permute(2, 0, 1), self._spectrum(x, "input", self.inputs)

    def applied(self, weights: Tensor, vectors: Tensor) -> Tensor:
        """Multiply spectra, and go back: (batch, k)."""
        return self._vectors(_multiplied(weights, vectors), "output")

    def gradients(
        self, weights: Tensor, vectors: Tensor, gradient: Tensor, needed: Sequence[bool]
    ) -> tuple[Tensor | None, Tensor | None]:
        """Of x, by the adjoint map, and of the coefficients, the correlation of gradient and x."""
        slopes = self._spectrum(gradient, "output", self.outputs)
        of_x, of_coefficients = None, None
        if needed[0]:
            of_x = self._vectors(_multiplied(weights.mH, slopes), "input")
        if needed[1]:
            found = _multiplied(slopes.conj(), vectors.mT)
            kernel = self._restored(found.permute(1, 2, 0))
            of_coefficients = self.restored("points", kernel, 2).reshape(-1)
        return of_x, of_coefficients

    def _spectrum(self, x: Tensor, name: str, copies: int) -> Tensor:
        """(batch, n) -> (frequencies, copies, batch)."""
        signs = self._buffers[f"{name}_signs"]
        x = self.ordered(name, x, 1)
        x = x if signs is None else x * self.cast(f"{name}_signs", x)
        return self._transformed(x.reshape(len(x), copies, self.size)).permute(2, 1, 0)

    def _vectors(self, spectrum: Tensor, name: str) -> Tensor:
        """(frequencies, copies, batch) -> (batch, n)."""
        x = self._restored(spectrum.permute(2, 1, 0))
        x = x.reshape(len(x), x.shape[1] * self.size)
        signs = self._buffers[f"{name}_signs"]
        return self.restored(name, x if signs is None else x * self.cast(f"{name}_signs", x), 1)

    def _transformed(self, x: Tensor) -> Tensor:
        """(..., points) -> (..., frequencies)."""
        spectrum = torch.fft.rfftn(x.reshape(*x.shape[:-1], *self.cycles), dim=self._axes)
        frequencies = math.prod(spectrum.shape[x.ndim - 1 :])
        return spectrum.reshape(*x.shape[:-1], frequencies)

    def _restored(self, spectrum: Tensor) -> Tensor:
        """(..., frequencies) -> (..., points)."""
        shape = *spectrum.shape[:-1], *self.cycles[:-1], self.cycles[-1] // 2 + 1
        x = torch.fft.irfftn(spectrum.reshape(shape), s=self.cycles, dim=self._axes)
        return x.reshape(*spectrum.shape[:-1], self.size)

    @property
    def _axes(self) -> tuple[int, ...]:
        return tuple(range(-len(self.cycles), 0))


def _multiplied(a: Tensor, b: Tensor) -> Tensor:
    """Return a @ b of each frequency; where these are but numbers, torch takes long for them."""
    if a.shape[-1] == 1:
        return a * b
    if a.shape[-2] == b.shape[-1] == 1:
        return (a * b.mT).sum(-1, keepdim=True)
    return a @ b


def _fourier_type(x: Tensor) -> Tensor:
    """Fourier transforms need float32 at least."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
