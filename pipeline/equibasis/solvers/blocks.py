"""Blocks: the part of a basis between all copies of two types."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equibasis.errors import EquibasisError
from equibasis.solvers.tables import MatrixTable, OrbitTable, Table, all_rows, matrix_of
from equibasis.symmetry.hom_space import HomSpace
from equibasis.symmetry.representations import signs_of
from equibasis.symmetry.summands import Summand


@dataclass(frozen=True, eq=False)
class Block:
    """The part of a basis between all copies of two types: R^d ⊗ R^c ⊗ Hom_G(V, W).

    Attributes
    ----------
    space
        Hom_G(V, W).
    output, input
        The d copies of W in Y, and the c copies of V in X.
    table
        The basis of Hom_G(V, W), of rank r.
    start
        Column (b, a, j), of copy b of W, copy a of V and column j of the table, is column
        ``start + (b c + a) r + j`` of the basis.
    """

    space: HomSpace
    output: Summand
    input: Summand
    table: Table
    start: int

    def __post_init__(self) -> None:
        if not self.table.fits(self.space.k, self.space.m):
            raise EquibasisError(f"a table is of other sizes than {self.space.m} to {self.space.k}")

    @property
    def copies(self) -> int:
        """How often the table is used, d c."""
        return self.output.multiplicity * self.input.multiplicity

    @property
    def rank(self) -> int:
        """d c r."""
        return self.copies * self.table.rank

    def labels(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Labels and signs of all pairs of points, (dim W, dim V), of a table of orbits."""
        assert isinstance(self.table, OrbitTable)
        return all_rows(self.table, self.space)

    def entries(
        self, start: int, stop: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """List the non-zero entries of the columns from ``start`` to ``stop`` of the block.

        Returns
        -------
        output, input, column, value
            The coordinates o and i of W[o, i], the column in the block, and the entry, each (n,).
        """
        rank, c = self.table.rank, self.input.multiplicity
        start, stop, _ = slice(start, stop).indices(self.rank)
        copies = np.arange(start // max(1, rank), -(-stop // max(1, rank)))
        small = matrix_of(self.table, self.space).tocoo()
        p, q = np.divmod(small.row.astype(np.int64), self.input.dimension)
        b, a = np.divmod(copies, c)
        o, i = self.output.index[p][:, b], self.input.index[q][:, a]
        values = np.repeat(small.data[:, None], len(copies), axis=1)
        for summand, point, copy in ((self.output, p, b), (self.input, q, a)):
            if summand.signs is not None:
                values *= summand.signs[point][:, copy]
        column = copies * rank + small.col[:, None].astype(np.int64)
        if stop - start == rank * len(copies):
            return o.ravel(), i.ravel(), column.ravel(), values.ravel()
        kept = (start <= column) & (column < stop)
        return o[kept], i[kept], column[kept], values[kept]

    def projected(self, part: np.ndarray) -> np.ndarray:
        """N Nᵀ vec of each pair of copies, N being the table, whose columns are orthonormal.

        Takes and returns the entries of a map between all copies, (t d, s c): coordinates are those
        of `Summand.index`, flattened.
        """
        (t, d), (s, c) = self.output.index.shape, self.input.index.shape
        signs = signs_of(self.output)[:, :, None, None] * signs_of(self.input)
        table = self.table
        N = table.values if isinstance(table, MatrixTable) else matrix_of(table, self.space)
        pairs = (part.reshape(t, d, s, c) * signs).transpose(1, 3, 0, 2).reshape(d * c, t * s)
        nearest = (pairs @ N) @ N.T
        return (nearest.reshape(d, c, t, s).transpose(2, 0, 3, 1) * signs).reshape(t * d, s * c)
