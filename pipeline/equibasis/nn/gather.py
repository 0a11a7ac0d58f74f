"""Numbers taken from each row of a tensor alike, by vector instructions where torch has them."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from equibasis.nn.buffers import ExactBuffers

# Positions are in floating point, and exact in single precision for so many columns: those of
# pixel i of n are wrong by less than n / 2²³ < 1/2.
_MOST_COLUMNS = 2**21

# Rows for which each position is computed once; many would crowd each other out of the cache.
TOGETHER = 4


class Gather(ExactBuffers):
    """y[n, i] = x[n, row[i], column[i]] for x (batch, h, w): one index for the whole batch.

    ``torch.gather`` takes one number after the other on a CPU. ``grid_sample`` takes as many at
    once as a register holds, as pixels of images; at the centre of a pixel its mode "nearest" gives
    back that pixel's number as it is. Neither is to be differentiated here.

    Parameters
    ----------
    shape
        (h, w).
    column
        Integers (k,), below w.
    row
        Integers (k,), below h; all 0 by default.
    """

    column: Tensor
    row: Tensor
    centres: Tensor | None

    def __init__(
        self, shape: tuple[int, int], column: np.ndarray, row: np.ndarray | None = None
    ) -> None:
        super().__init__()
        row = np.zeros_like(column) if row is None else row
        self.register_exact("column", column.astype(np.int64))
        self.register_exact("row", row.astype(np.int64))
        centres = None
        if max(shape) <= _MOST_COLUMNS:
            h, w = shape
            # From -1 to 1 over each side of an image.
            centres = np.stack([(2 * column + 1) / w - 1, (2 * row + 1) / h - 1], axis=1)[None]
        self.register_exact("centres", centres)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, h, w) -> (batch, k)."""
        batch, h, w = x.shape
        centres = self._buffers["centres"]
        # Of the very dtype of x: positions cast from a shorter one would be others.
        if centres is not None and centres.dtype == x.dtype and batch and _has_vectors(x):
            together = math.gcd(batch, TOGETHER)
            images = x.view(batch // together, together, h, w)
            grid = centres.expand(batch // together, 1, -1, 2)
            y = functional.grid_sample(images, grid, mode="nearest", align_corners=False)
            return y.view(batch, -1)
        of_batch, of_row, of_column = x.stride()
        span = (h - 1) * of_row + (w - 1) * of_column + 1
        index = self.row * of_row + self.column * of_column
        flat = x.as_strided((batch, span), (of_batch, 1))
        return flat.gather(1, index.expand(batch, -1))


def _has_vectors(x: Tensor) -> bool:
    """Whether ``grid_sample`` gathers numbers of this kind by vector instructions."""
    return (
        x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.float64)
        and torch.backends.cpu.get_cpu_capability().startswith("AVX")
    )
