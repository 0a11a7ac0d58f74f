"""The coordinates of X or of Y, orbit by orbit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equibasis.nn.buffers import ExactBuffers
from equibasis.nn.gather import Gather
from equibasis.symmetry.coordinates import Orbits


class Side(ExactBuffers):
    """x (batch, n) <-> its kinds of orbits, each (t, batch, c); short orbits may be lifted.

    A coordinate of x is listed as often as its orbit is repeated, and divided by that number. In y
    and in the gradient of x, which are alike wherever repeated, one of them is taken.

    Both ways are gathers, which torch does on all cores, unlike ``index_select``. ``direct`` ones
    take numbers from and to where they lie, in as few operations; they are not to be
    differentiated, as they write to what they have made.

    Parameters
    ----------
    orbits
        All kinds of orbits of the space.
    """

    order: Tensor
    first: Tensor

    def __init__(self, orbits: tuple[Orbits, ...]) -> None:
        super().__init__()
        order = np.concatenate([part.places.ravel() for part in orbits])
        first = np.unique(order, return_index=True)[1]
        self.shapes = [part.places.shape for part in orbits]
        self.sizes = [math.prod(shape) for shape in self.shapes]
        self.moves = not np.array_equal(order, np.arange(len(order)))
        self.register_exact("order", order.astype(np.int64))
        self.register_exact("first", first.astype(np.int64))
        if len(orbits) == 1:
            point, number = np.divmod(first, self.shapes[0][1])
            self.back = Gather(self.shapes[0], number, point)
        else:
            self.back = Gather((1, len(order)), first)
        for kind, part in enumerate(orbits):
            self.register_exact(f"places{kind}", part.places[:, None].astype(np.int64))
            lifted = part.repeats > 1  # the last ones
            self.register_exact(f"shares{kind}", 1 / part.repeats[lifted] if lifted.any() else None)
            signs = None if part.signs is None else part.signs[:, None].astype(np.float64)
            self.register_exact(f"signs{kind}", signs)

    def places(self, kind: int) -> np.ndarray:
        """Which coordinate of the space each one is, (t, c)."""
        return self.exact(f"places{kind}")[:, 0]

    def by_orbits(self, vector: np.ndarray, kind: int) -> np.ndarray:
        """The coordinates of a vector (n,) in orbits of one kind, (t, c), short ones undivided."""
        found = vector[self.places(kind)]
        signed = self._buffers[f"signs{kind}"] is not None
        return found * self.exact(f"signs{kind}")[:, 0] if signed else found

    def lifted(self, x: Tensor, *, direct: bool = False) -> list[Tensor]:
        """(batch, n) -> (t, batch, c) by kind."""
        batch, n = x.shape
        if direct:
            parts = []
            for kind, (t, c) in enumerate(self.shapes):
                places: Any = self._buffers[f"places{kind}"]
                parts.append(x.expand(t, batch, n).gather(2, places.expand(t, batch, c)))
        else:
            flat = x.gather(1, self.order.expand(batch, -1)) if self.moves else x
            parts = [
                part.reshape(batch, t, c).transpose(0, 1).contiguous()
                for part, (t, c) in zip(flat.split(self.sizes, 1), self.shapes, strict=True)
            ]
        return self._signed(
            [self._shared(part, kind, in_place=direct) for kind, part in enumerate(parts)]
        )

    def dropped(self, parts: Sequence[Tensor], *, direct: bool = False) -> Tensor:
        """(t, batch, c) by kind -> (batch, n)."""
        parts = self._signed(parts)
        if direct and self.moves and len(parts) == 1:
            return self.back.forward(parts[0].transpose(0, 1))
        flat = torch.cat([part.transpose(0, 1).flatten(1) for part in parts], 1)
        if not self.moves:
            return flat
        if direct:
            return self.back.forward(flat.unsqueeze(1))
        return flat.gather(1, self.first.expand(len(flat), -1))

    def _shared(self, part: Tensor, kind: int, *, in_place: bool) -> Tensor:
        shares = self._buffers[f"shares{kind}"]
        if shares is None:
            return part
        last = len(shares)
        if in_place:
            part.narrow(2, part.shape[2] - last, last).mul_(shares)
            return part
        return torch.cat([part[:, :, :-last], part[:, :, -last:] * shares.to(part.dtype)], 2)

    def _signed(self, parts: Sequence[Tensor]) -> list[Tensor]:
        found = []
        for kind, part in enumerate(parts):
            signs = self._buffers[f"signs{kind}"]
            found.append(part if signs is None else part * signs.to(part.dtype))
        return found
