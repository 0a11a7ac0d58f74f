"""Products by Fourier transforms, where the group is a torus of shifts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from equibasis.nn.sides import Side
from equibasis.symmetry.coordinates import Coordinates


class FourierProducts(nn.Module):
    """Convolution on a torus: one Fourier transform each way, one product a frequency.

    Parameters
    ----------
    coordinates
        Of Hom_G(X, Y), with cycles.
    """

    def __init__(self, coordinates: Coordinates) -> None:
        super().__init__()
        self.source, self.target = Side(coordinates.input), Side(coordinates.output)
        self.cycles = coordinates.cycles
        ((_, self.inputs),), ((_, self.outputs),) = self.source.shapes, self.target.shapes

    def weights(self, entries: Tensor) -> tuple[Tensor, ...]:
        """The spectrum of the kernel, (frequencies, inputs, outputs)."""
        kernel = _fourier_type(entries).view(self.outputs, *self.cycles, self.inputs)
        axes = tuple(range(1, 1 + len(self.cycles)))
        return (torch.fft.rfftn(kernel, dim=axes).flatten(1, axes[-1]).permute(1, 2, 0),)

    def by_blocks(self, x: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        """(batch, m) -> (batch, k)."""
        (kernel,), (part,) = weights, self.source.lifted(x)
        points, batch, _ = part.shape
        axes = tuple(range(len(self.cycles)))
        signal = _fourier_type(part).view(*self.cycles, batch, self.inputs)
        spectrum = torch.fft.rfftn(signal, dim=axes)
        shape = spectrum.shape[: len(axes)]
        flat = spectrum.flatten(0, axes[-1])
        product = flat * kernel if self.inputs == self.outputs == 1 else flat @ kernel
        y = torch.fft.irfftn(product.unflatten(0, shape), s=self.cycles, dim=axes)
        return self.target.dropped([y.reshape(points, batch, self.outputs).to(x.dtype)])


def _fourier_type(x: Tensor) -> Tensor:
    """Fourier transforms need float32 at least."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
