"""Equivariant maps by irreps: x by orbit types, one product an irrep, and back (Schur's lemma)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from equibasis.nn.buffers import ExactBuffers
from equibasis.nn.gather import IsotypicRows
from equibasis.nn.tracing import with_adjoint
from equibasis.solvers.basis import Basis
from equibasis.solvers.blocks import Block
from equibasis.solvers.tables import MatrixTable
from equibasis.symmetry.irreps import Decomposition, Irrep
from equibasis.symmetry.summands import Summand


class SchurMap(ExactBuffers):
    """x -> W x for W = Σ cⱼ Wⱼ in Hom_G(X, Y), by the blocks of its irreps.

    An irrep that occurs N times in X and M times in Y has one block, M × N over its commutant,
    that acts on each of its q rows alike. Over the reals that is one product of matrices, over the
    complex numbers three; the sums for these are part of the ways to irreps and back.
    Source: Schur's lemma; Bökman et al. (2025), *Flopping for FLOPs*, for image networks.

    Parameters
    ----------
    basis
        Of Hom_G(X, Y).
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
        self.sizes = [p * m * n for p, m, n, _ in self.products]
        starts = np.cumsum([0, *self.sizes])
        self.blocks: list[tuple[int, int, list[_Place]]] = []  # d c and r of coefficients
        for number, block in enumerate(basis.blocks):
            b, a = divmod(number, len(types.input))
            transforms, r = block_transforms(block, found), block.table.rank
            d, c = block.output.multiplicity, block.input.multiplicity
            rows, places = [np.zeros((0, r))], list[_Place]()
            for product, (first, *others) in enumerate(alike):
                if first in transforms:
                    mixed = np.concatenate(
                        [
                            np.einsum("pl,loir->poir", algebras[n].weights, transforms[n])
                            for n in (first, *others)
                        ]
                    )
                    _, m, n, _ = self.products[product]
                    row, column = (
                        outputs[:b, first] @ ds[:b],
                        inputs[:a, first] @ cs[:a],
                    )
                    start = int(starts[product] + row * n + column)
                    before = d * c * sum(map(len, rows))
                    places.append(_place((*mixed.shape[:3], d, c), before, start, (m, n)))
                    rows.append(mixed.reshape(-1, r))
            self.register_exact(f"block{number}", np.concatenate(rows))
            self.blocks.append((d * c, r, places))

        # Of one pair whose irreps are once in X's type, they are in the order of their products.
        self.in_order = len(self.blocks) == 1 and all(
            shape[3] == 1 for _, _, places in self.blocks for shape, _, _ in places
        )

    @property
    def multiplications(self) -> float:
        """How many a vector takes, its weights made; a plain W takes k m."""
        transforms = self.input.multiplications + self.output.multiplications
        return float(transforms + sum(p * m * n * q for p, m, n, q in self.products))

    def forward(self, x: Tensor, coefficients: Tensor) -> Tensor:
        """(batch, m), (rank,) -> (batch, k)."""
        batch = x.shape[0]
        rows = with_adjoint(x, self.input.forward, self.input.adjoint)
        weights = with_adjoint(coefficients, self.weights, self.coefficients)
        parts = zip(
            self.products,
            weights.split(self.sizes),
            rows.split([p * n * q for p, _, n, q in self.products]),
            strict=True,
        )
        found = [
            (w.view(p, m, n) @ part.view(p, n, q * batch)).view(p * m * q, batch)
            for (p, m, n, q), w, part in parts
        ]
        rows = torch.cat(found) if found else rows
        return with_adjoint(rows, self.output.adjoint, self.output.forward)

    def weights(self, coefficients: Tensor) -> Tensor:
        """(rank,) -> the matrices of all products, one after the other."""
        weights = None if self.in_order else coefficients.new_empty(sum(self.sizes))
        parts = coefficients.split([copies * r for copies, r, _ in self.blocks])
        for number, (part, (copies, r, places)) in enumerate(zip(parts, self.blocks, strict=True)):
            rows = self.cast(f"block{number}", part) @ part.view(copies, r).t()
            if weights is None:
                return rows.view(-1)
            for shape, here, there in places:
                weights.as_strided(shape, *there).copy_(rows.as_strided(shape, *here))
        assert weights is not None  # in order is one pair alone
        return weights

    def coefficients(self, weights: Tensor) -> Tensor:
        """The adjoint of `weights`."""
        weights, found = weights.contiguous(), []
        first = weights.storage_offset()
        for number, (copies, _, places) in enumerate(self.blocks):
            block = self.cast(f"block{number}", weights)
            if self.in_order:
                return (weights.view(len(block), copies).t() @ block).view(-1)
            rows = weights.new_empty(len(block), copies)
            for shape, here, there in places:
                matrices = weights.as_strided(shape, there.strides, first + there.start)
                rows.as_strided(shape, *here).copy_(matrices)
            found.append((rows.t() @ block).view(-1))
        return torch.cat(found)


class _Strides(NamedTuple):
    """Where in memory an array of known shape is."""

    strides: tuple[int, ...]
    start: int


# The shape of what a pair of types has of a product; where that is among the rows of the pair, and
# where among the matrices of all products.
_Place: TypeAlias = tuple[tuple[int, ...], _Strides, _Strides]


def _place(shape: tuple[int, ...], in_rows: int, in_all: int, matrix: tuple[int, int]) -> _Place:
    """(p, o, i, d, c) rows of p irreps, o and i times in types of d and c copies, in (M, N)."""
    (p, o, i, d, c), (m, n) = shape, matrix
    here = _Strides((o * i * d * c, i * d * c, c, d * c, 1), in_rows)
    return (p, o, d, i, c), here, _Strides((m * n, d * n, n, c, 1), in_all)


class _Algebra(NamedTuple):
    """A division algebra by products of real numbers.

    (u v)ₗ = Σₚ outputs[p, l] (weights[p]·u) (inputs[p]·v), each of them float64 (products, δ).
    """

    weights: np.ndarray
    inputs: np.ndarray
    outputs: np.ndarray

    @classmethod
    def of(cls, irrep: Irrep) -> _Algebra:
        """That of an irrep; complex numbers take three products, not four (Gauss)."""
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
    """What products take of a space, or what it takes of them: copies, each with its q rows.

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
