"""Equivariant maps by irreps: x by orbit types, one product an irrep, and back (Schur's lemma)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from equibasis.nn.factored import FactoredMap
from equibasis.nn.gather import IsotypicRows, flat_products
from equibasis.nn.tracing import with_adjoint
from equibasis.solvers.basis import Basis
from equibasis.solvers.blocks import Block
from equibasis.solvers.tables import MatrixTable
from equibasis.symmetry.irreps import Decomposition, Irrep
from equibasis.symmetry.summands import Summand


class SchurMap(FactoredMap):
    """x -> W x for W = Σ cⱼ Wⱼ in Hom_G(X, Y), by the blocks of its irreps.

    An irrep that occurs N times in X and M times in Y has one block, M × N over its commutant,
    that acts on each of its q rows alike. Over the reals that is one product of matrices, over the
    complex numbers three; the sums for these are part of the ways to irreps and back.
    Source: Schur's lemma; Bökman et al. (2025), *Flopping for FLOPs*, for image networks.

    Parameters
    ----------
    basis
        Of Hom_G(X, Y), of rank 1 or more.
    found
        Its types in bases by irreps.

    Attributes
    ----------
    products
        (p, M, N, q): so many matrices, (M, N) each, act on q rows each.
    """

    def __init__(self, basis: Basis, found: Decomposition) -> None:
        super().__init__()
        types, irreps = basis.space.types, found.irreps
        outputs, inputs = (
            found.multiplicities[[each.type for each in side]]
            for side in (types.output, types.input)
        )

        def counts(n: int) -> tuple[int, ...]:
            return (irreps[n].degree, *outputs[:, n], *inputs[:, n])

        shared = np.flatnonzero(outputs.any(axis=0) & inputs.any(axis=0)).tolist()
        shared.sort(key=counts)
        algebras = {n: _Algebra.of(irreps[n]) for n in shared}
        into = {n: algebra.inputs for n, algebra in algebras.items()}
        out = {n: algebra.outputs for n, algebra in algebras.items()}
        self.input = _isotypic_rows(types.input, found, found.forward, into)
        self.output = _isotypic_rows(types.output, found, [m.T for m in found.backward], out)

        # Irreps that each type has as often as another are multiplied in one call.
        alike = [list(each) for _, each in itertools.groupby(shared, key=counts)]
        ds, cs = ([each.multiplicity for each in side] for side in (types.output, types.input))
        self.products = [
            (
                sum(len(algebras[n].weights) for n in each),
                int(outputs[:, each[0]] @ ds),
                int(inputs[:, each[0]] @ cs),
                irreps[each[0]].degree,
            )
            for each in alike
        ]
        # Each pair of types gives rows, p times those of all maps between two irreps' copies; the
        # matrices of all products, one after the other, are these in another order.
        order = np.empty(sum(p * m * n for p, m, n, _ in self.products), dtype=np.int64)
        matrices, start = list[np.ndarray](), 0
        for p, m, n, _ in self.products:
            matrices.append(order[start : start + p * m * n].reshape(p, m, n))
            start += p * m * n
        self.blocks: list[tuple[int, int, int]] = []  # d c, r, and how many rows
        start = 0
        for number, block in enumerate(basis.blocks):
            b, a = divmod(number, len(types.input))
            transforms, rank = block_transforms(block, found), block.table.rank
            d, c = block.output.multiplicity, block.input.multiplicity
            rows = [np.zeros((0, rank))]
            for matrix, (first, *others) in zip(matrices, alike, strict=True):
                if first in transforms:
                    mixed = np.concatenate(
                        [
                            np.einsum("pl,loir->poir", algebras[n].weights, transforms[n])
                            for n in (first, *others)
                        ]
                    )
                    p, o, i, _ = mixed.shape
                    places = start + np.arange(p * o * i * d * c).reshape(p, o, i, d, c)
                    row, column = int(outputs[:b, first] @ ds[:b]), int(inputs[:a, first] @ cs[:a])
                    matrix[:, row : row + o * d, column : column + i * c] = places.transpose(
                        0, 1, 3, 2, 4
                    ).reshape(p, o * d, i * c)
                    start += places.size
                    rows.append(mixed.reshape(-1, rank))
            self.register_exact(f"block{number}", np.concatenate(rows))
            self.blocks.append((d * c, rank, sum(map(len, rows))))
        # Copies of X's types stay side by side: runs of them are moved, not numbers.
        self.run = math.gcd(*cs)
        self.register_order("order", order[:: self.run] // self.run)

    @property
    def multiplications(self) -> float:
        """How many a vector takes, its weights made; a plain W takes k m."""
        transforms = self.input.multiplications + self.output.multiplications
        return float(transforms + sum(p * m * n * q for p, m, n, q in self.products))

    def factors(self, x: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, m), (rank,) -> all p M N weights, (sum,), and all p N q rows, (sum, batch)."""
        weights = with_adjoint(coefficients, self.weights, self.coefficients)
        return weights, with_adjoint(x, self.input.forward, self.input.adjoint)

    def applied(self, weights: Tensor, rows: Tensor) -> Tensor:
        """Apply weights to rows, of `factors`, and go back from irreps: (batch, k)."""
        pairs = zip(self._matrices(weights), self._inputs(rows), strict=True)
        found = flat_products(pairs).view(self.output.height, rows.shape[1])
        return with_adjoint(found, self.output.adjoint, self.output.forward)

    def gradients(
        self, weights: Tensor, rows: Tensor, gradient: Tensor, needed: Sequence[bool]
    ) -> tuple[Tensor | None, Tensor | None]:
        """Of x and of the coefficients, each by the adjoints of the ways to and from irreps."""
        slopes = with_adjoint(gradient, self.output.forward, self.output.adjoint)
        outputs = _split(slopes, [(p, m, q) for p, m, _, q in self.products])
        of_x, of_coefficients = None, None
        if needed[0]:
            pairs = zip((each.mT for each in self._matrices(weights)), outputs, strict=True)
            found = flat_products(pairs).view(self.input.height, rows.shape[1])
            of_x = with_adjoint(found, self.input.adjoint, self.input.forward)
        if needed[1]:
            pairs = zip(outputs, (each.mT for each in self._inputs(rows)), strict=True)
            of_coefficients = with_adjoint(flat_products(pairs), self.coefficients, self.weights)
        return of_x, of_coefficients

    def _matrices(self, weights: Tensor) -> list[Tensor]:
        return _split(weights, [(p, m, n) for p, m, n, _ in self.products])

    def _inputs(self, rows: Tensor) -> list[Tensor]:
        return _split(rows, [(p, n, q) for p, _, n, q in self.products])

    def weights(self, coefficients: Tensor) -> Tensor:
        """(rank,) -> the matrices of all products, one after the other, flat: Σ p M N numbers."""
        parts = coefficients.split([copies * rank for copies, rank, _ in self.blocks])
        rows = flat_products(
            (self.cast(f"block{number}", part), part.view(copies, rank).t())
            for number, (part, (copies, rank, _)) in enumerate(zip(parts, self.blocks, strict=True))
        )
        return self.ordered("order", rows.view(-1, self.run)).view(-1)

    def coefficients(self, weights: Tensor) -> Tensor:
        """Adjoint of `weights`: Σ p M N numbers -> (rank,)."""
        rows = self.restored("order", weights.view(-1, self.run)).view(-1)
        parts = rows.split([height * copies for copies, _, height in self.blocks])
        return flat_products(
            (part.view(height, copies).t(), self.cast(f"block{number}", part))
            for number, (part, (copies, _, height)) in enumerate(
                zip(parts, self.blocks, strict=True)
            )
        )


def _split(rows: Tensor, shapes: Sequence[tuple[int, int, int]]) -> list[Tensor]:
    """Parts of so many entries, or rows, each as (p, height, rest)."""
    parts = rows.split([math.prod(shape) for shape in shapes])
    return [part.view(*shape[:2], -1) for part, shape in zip(parts, shapes, strict=True)]


class _Algebra(NamedTuple):
    """A division algebra by products of real numbers.

    (u v)ₗ = Σₚ outputs[p, l] (weights[p]·u) (inputs[p]·v), each of them float64 (products, δ).
    """

    weights: np.ndarray
    inputs: np.ndarray
    outputs: np.ndarray

    @classmethod
    def of(cls, irrep: Irrep) -> _Algebra:
        """Choose that of an irrep; complex numbers take three products, not four (Gauss)."""
        if irrep.dimension == 2:  # of A, A + B and B - A
            three = [
                [[1, 0], [1, 1], [-1, 1]],
                [[1, 1], [0, 1], [1, 0]],
                [[1, 1], [-1, 0], [0, 1]],
            ]
            return cls(*np.array(three, dtype=np.float64))
        one = np.eye(irrep.dimension)
        weights, inputs = (
            np.repeat(one, irrep.dimension, 0),
            np.tile(one, (irrep.dimension, 1)),
        )
        # uⱼ eₖ is column k of the matrix of uⱼ.
        return cls(weights, inputs, irrep.commutant.transpose(0, 2, 1).reshape(inputs.shape))


def _isotypic_rows(
    summands: Sequence[Summand],
    found: Decomposition,
    transforms: Sequence[np.ndarray],
    mixed: Mapping[int, np.ndarray],
) -> IsotypicRows:
    """Map a space to the rows of products, or back: copies, each with its q rows.

    Parameters
    ----------
    transforms
        By type, (irreps' rows, t).
    mixed
        By number of the irrep, (products, δ): the sums of its rows that products are of.
    """
    matrices, places = (
        [],
        [[np.zeros((0, 1), np.int64)] for each in mixed.values() for _ in each],
    )
    start = 0
    for summand in summands:
        t, c = summand.index.shape
        rows, of_products = [np.zeros((0, t))], iter(places)
        for number, sums in mixed.items():
            of_irrep = transforms[summand.type][found.rows(summand.type, number)]
            every = np.einsum("pj,jqnt->pqnt", sums, of_irrep)
            rows.append(every.reshape(-1, t))
            _, q, n, _ = every.shape
            for _ in sums:
                size = q * n * c
                next(of_products).append(start + np.arange(size).reshape(q, n * c).T)
                start += size
        matrices.append(np.concatenate(rows))
    order = [
        np.zeros(0, np.int64),
        *(each.ravel() for place in places for each in place),
    ]
    return IsotypicRows(summands, matrices, np.concatenate(order))


def block_transforms(block: Block, found: Decomposition) -> dict[int, np.ndarray]:
    """Coefficients of a pair of types -> its matrices of every irrep that both have.

    Returns
    -------
    dict
        By number, float64 (δ, copies in W, copies in V, r): matrix l of column j of the table,
        whose map is Σ_l matrix_l ⊗ commutant_l on each row of the irrep.
    """
    if isinstance(block.table, MatrixTable):
        scaled = block.table.values * np.sqrt(block.table.sizes)
        maps = scaled.T.reshape(-1, block.output.dimension, block.input.dimension)
    else:
        labels, signs = block.labels()
        maps = np.zeros((block.table.rank + 1, *labels.shape))
        p, q = np.indices(labels.shape)
        maps[labels, p, q] = 1.0 if signs is None else signs
        maps = maps[:-1]  # the last is of -1
    source, target = block.input.type, block.output.type
    transforms = {}
    for number, irrep in enumerate(found.irreps):
        counts = [int(found.multiplicities[each, number]) for each in (target, source)]
        if all(counts):
            out = found.forward[target][found.rows(target, number)[:, 0]]  # (δ, copies, t)
            into = found.backward[source][:, found.rows(source, number)[:, 0]]  # (t, δ, copies)
            small = np.einsum("jap,rpq,qkb->rjakb", out, maps, into, optimize=True)
            terms = np.einsum("rjakb,ljk->labr", small, irrep.commutant)
            transforms[number] = terms / irrep.dimension
    return transforms
