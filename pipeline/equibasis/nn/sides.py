"""The coordinates of X or of Y, orbit by orbit."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from equibasis.coordinates import Orbits
from equibasis.nn.buffers import ExactBuffers


class Side(ExactBuffers):
    """x (batch, n) <-> its kinds of orbits, each (t, batch, c); short orbits may be lifted.

    A coordinate of x is listed as often as its orbit is repeated, and divided by that number. In y
    and in the gradient of x, which are alike wherever repeated, one of them is taken.

    Parameters
    ----------
    orbits
        All kinds of orbits of the space.
    """

    order: Tensor
    first: Tensor
    point: Tensor
    number: Tensor

    def __init__(self, orbits: tuple[Orbits, ...]) -> None:
        super().__init__()
        order = np.concatenate([part.places.ravel() for part in orbits])
        self.shapes = [part.places.shape for part in orbits]
        self.sizes = [math.prod(shape) for shape in self.shapes]
        self.moves = not np.array_equal(order, np.arange(len(order)))
        self.register_exact("order", order.astype(np.int64))
        first = np.unique(order, return_index=True)[1].astype(np.int64)
        self.register_exact("first", first)
        point, number = np.divmod(first, self.shapes[0][1])  # where there is one kind alone
        self.register_exact("point", point)
        self.register_exact("number", number)
        self._places: tuple[int, Tensor] | None = None  # of the last batch
        self.tails = [plain_columns(part.factors) for part in orbits]
        for kind, (part, tail) in enumerate(zip(orbits, self.tails, strict=True)):
            factors = part.factors[:, None, tail:]
            self.register_exact(f"factors{kind}", factors if factors.size else None)
            signs = None if part.signs is None else part.signs[:, None, tail:].astype(np.float64)
            self.register_exact(f"signs{kind}", signs)

    def lifted(self, x: Tensor, *, in_place: bool = False) -> list[Tensor]:
        """(batch, n) -> (t, batch, c) by kind. What is made here may be changed ``in_place``."""
        batch, n = x.shape
        if in_place:
            return [
                self._scaled(
                    x.expand(t, batch, n).gather(2, places.view(t, 1, c).expand(t, batch, c)),
                    "factors",
                    kind,
                    in_place,
                )
                for kind, ((t, c), places) in enumerate(
                    zip(self.shapes, self.order.split(self.sizes), strict=True)
                )
            ]
        if self.moves:
            x = x.gather(1, self.order.expand(batch, -1))
        return [
            self._scaled(
                part.view(batch, t, c).transpose(0, 1).contiguous(), "factors", kind, in_place
            )
            for kind, (part, (t, c)) in enumerate(
                zip(x.split(self.sizes, 1), self.shapes, strict=True)
            )
        ]

    def dropped(self, parts: list[Tensor], *, in_place: bool = False) -> Tensor:
        """(t, batch, c) by kind -> (batch, n). ``parts`` may be changed ``in_place``."""
        parts = [self._scaled(part, "signs", kind, in_place) for kind, part in enumerate(parts)]
        batch = parts[0].shape[1]
        if in_place and len(parts) == 1:
            return self._gathered(parts[0])
        flat = [
            part.transpose(0, 1).reshape(batch, size)
            for part, size in zip(parts, self.sizes, strict=True)
        ]
        x = flat[0] if len(flat) == 1 else torch.cat(flat, 1)
        return x.gather(1, self.first.expand(batch, -1)) if self.moves else x

    def _gathered(self, part: Tensor) -> Tensor:
        """The same at once: point a of orbit b, in row n, lies at (a batch + n) c + b."""
        t, batch, c = part.shape
        rows = part.as_strided((batch, (t - 1) * batch * c + c), (c, 1))
        kept = self._places
        if kept is None or kept[0] != batch or kept[1].device != part.device:
            self._places = kept = batch, self.point * (batch * c) + self.number
        return rows.gather(1, kept[1].expand(batch, -1))

    def _scaled(self, part: Tensor, name: str, kind: int, in_place: bool) -> Tensor:
        factors = self._buffers[f"{name}{kind}"]
        if factors is None:
            return part
        tail = self.tails[kind]
        if in_place:
            part.narrow(2, tail, part.shape[2] - tail).mul_(factors)
            return part
        return torch.cat([part[:, :, :tail], part[:, :, tail:] * factors.to(part.dtype)], 2)


def plain_columns(factors: np.ndarray) -> int:
    """How many of the columns (..., c) before the first that has a factor other than 1."""
    whole = (factors == 1).reshape(-1, factors.shape[-1]).all(axis=0)
    return len(whole) if whole.all() else int(np.argmin(whole))
