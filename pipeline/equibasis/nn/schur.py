"""Equivariant maps by irreps: x by orbit types, one product an irrep, and back (Schur's lemma)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from equibasis.nn.buffers import ExactBuffers
from equibasis.nn.gather import Orbits
from equibasis.solvers.basis import Basis, Block
from equibasis.solvers.tables import MatrixTable
from equibasis.symmetry.irreps import Decomposition


@dataclass(frozen=True)
class _Irrep:
    """An irrep of degree q over its commutant of dimension δ.

    Attributes
    ----------
    degree, dimension
        q and δ.
    outputs, inputs
        How often it occurs in each orbit type of Y and of X.
    matrices
        How many matrices its products take: δ, or 3 where δ = 2.
    """

    degree: int
    dimension: int
    outputs: tuple[int, ...]
    inputs: tuple[int, ...]

    @property
    def matrices(self) -> int:
        return 3 if self.dimension == 2 else self.dimension

    @property
    def size(self) -> int:
        return self.degree * self.dimension


class SchurMap(ExactBuffers):
    """x -> W x for W = Σ cⱼ Wⱼ in Hom_G(X, Y), by the blocks of its irreps.

    An irrep that occurs N times in X and M times in Y has one block, M × N over its commutant,
    that acts on each of its q rows alike.
    Source: Schur's lemma; Bökman et al. (2025), *Flopping for FLOPs*, for image networks.

    Parameters
    ----------
    basis
        Of Hom_G(X, Y).
    found
        Its types in bases by irreps.
    """

    def __init__(self, basis: Basis, found: Decomposition) -> None:
        super().__init__()
        types = basis.space.types
        self.input, self.output = Orbits(types.input), Orbits(types.output)
        self.irreps = [
            _Irrep(
                irrep.degree,
                irrep.dimension,
                tuple(int(found.multiplicities[each.type, n]) for each in types.output),
                tuple(int(found.multiplicities[each.type, n]) for each in types.input),
            )
            for n, irrep in enumerate(found.irreps)
        ]
        for number, irrep in enumerate(found.irreps):
            self.register_exact(f"commutant{number}", irrep.commutant)
        for number, each in enumerate(types.input):
            self.register_exact(f"input{number}", found.forward[each.type])
        for number, each in enumerate(types.output):
            self.register_exact(f"output{number}", found.backward[each.type])
        self.blocks = [
            (b.output.multiplicity, b.input.multiplicity, b.table.rank) for b in basis.blocks
        ]
        self.entries: list[list[int]] = []
        for number, block in enumerate(basis.blocks):
            transforms = block_transforms(block, found)
            parts = [_for_products(terms) for terms in transforms]
            # Each matrix on its own where the irrep occurs once in both types, so that it is whole.
            self.entries.append(
                [
                    size
                    for part, terms in zip(parts, transforms, strict=True)
                    for size in ([1] * len(part) if terms.shape[1:3] == (1, 1) else [len(part)])
                ]
            )
            nothing = np.zeros((0, block.table.rank))
            self.register_exact(f"block{number}", np.concatenate([nothing, *parts]))

    @property
    def multiplications(self) -> float:
        """How many a vector takes, its weights made; a plain W takes k m."""
        total = 0.0
        for irrep in self.irreps:
            inputs = sum(n * c for n, (_, c) in zip(irrep.inputs, self.input.shapes, strict=True))
            outputs = sum(
                n * d for n, (_, d) in zip(irrep.outputs, self.output.shapes, strict=True)
            )
            products = 3 if irrep.dimension == 2 else irrep.dimension**2
            total += irrep.degree * products * inputs * outputs
        return total + sum(t * t * c for t, c in self.input.shapes + self.output.shapes)

    def weights(self, coefficients: Tensor) -> list[list[Tensor]]:
        """The matrices of each irrep that X and Y share, (M, N) each."""
        sizes = [math.prod(shape) for shape in self.blocks]
        parts = [coefficients] if len(sizes) == 1 else coefficients.split(sizes)
        pieces = []
        for number, (part, (d, c, r)) in enumerate(zip(parts, self.blocks, strict=True)):
            transform = self.cast(f"block{number}", part)
            every = (transform @ part.view(d * c, r).t()).view(-1, d, c)
            pieces.append(iter(every.split(self.entries[number])))
        found = []
        for irrep in self.irreps:
            rows = []
            for b, outputs in enumerate(irrep.outputs):
                row = [
                    _laid_out(pieces[b * len(irrep.inputs) + a], irrep, outputs, inputs)
                    for a, inputs in enumerate(irrep.inputs)
                    if outputs and inputs
                ]
                if row:
                    rows.append([_joined(each, 1) for each in zip(*row, strict=True)])
            if rows:
                found.append([_joined(each, 0) for each in zip(*rows, strict=True)])
        return found

    def forward(self, x: Tensor, coefficients: Tensor) -> Tensor:
        """(batch, m), (rank,) -> (batch, k)."""
        batch, remaining = x.shape[0], iter(self.weights(coefficients))
        inputs = [
            (self.cast(f"input{number}", part) @ part).split(
                [irrep.size * irrep.inputs[number] for irrep in self.irreps]
            )
            for number, part in enumerate(self.input.gather(x))
        ]
        outputs: list[list[Tensor]] = [[] for _ in self.output.shapes]
        for number, irrep in enumerate(self.irreps):
            pieces = [
                _side_by_side(part[number], irrep, n * c, batch)
                for part, n, (_, c) in zip(inputs, irrep.inputs, self.input.shapes, strict=True)
                if n
            ]
            if not any(irrep.outputs):
                continue
            if not pieces:  # no map reaches these coordinates
                for rows, n, (_, d) in zip(outputs, irrep.outputs, self.output.shapes, strict=True):
                    rows.append(x.new_zeros(irrep.size * n, d * batch))
                continue
            of_x = pieces[0] if len(pieces) == 1 else torch.cat(pieces, 1)
            commutant = self.cast(f"commutant{number}", of_x)
            y = _product([w.to(of_x.dtype) for w in next(remaining)], of_x, commutant)
            counts = [n * d for n, (_, d) in zip(irrep.outputs, self.output.shapes, strict=True)]
            for rows, n, (_, d), part in zip(
                outputs, irrep.outputs, self.output.shapes, y.split(counts, 1), strict=True
            ):
                if n:
                    rows.append(_by_rows(part, irrep, n, d, batch))
        found = [
            self.cast(f"output{number}", rows[0]) @ torch.cat(rows)
            for number, rows in enumerate(outputs)
        ]
        return self.output.scatter(found, batch)


def block_transforms(block: Block, found: Decomposition) -> list[np.ndarray]:
    """Coefficients of a pair of types -> its matrices of every irrep that both have.

    Returns
    -------
    list
        For each such irrep, in order, float64 (δ, copies in W, copies in V, r): matrix l of column
        j of the table, whose map is Σ_l matrix_l ⊗ commutant_l on each row of the irrep.
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
    transforms = []
    for number, irrep in enumerate(found.irreps):
        counts = [int(found.multiplicities[each, number]) for each in (target, source)]
        if all(counts):
            out = found.forward[target][found.rows(target, number)]  # (δ, copies, t)
            into = found.backward[source][:, found.rows(source, number)]  # (t, δ, copies)
            small = np.einsum("jap,rpq,qkb->rjakb", out, maps, into, optimize=True)
            terms = np.einsum("rjakb,ljk->labr", small, irrep.commutant)
            transforms.append(terms / irrep.dimension)
    return transforms


def _for_products(terms: np.ndarray) -> np.ndarray:
    """The matrices that `_product` takes, (matrices · copies · copies, r)."""
    if len(terms) == 2:
        terms = np.stack([terms[0], terms[0] + terms[1], terms[1] - terms[0]])
    return terms.reshape(-1, terms.shape[-1])


def _laid_out(
    pieces: Iterator[Tensor], irrep: _Irrep, outputs: int, inputs: int
) -> Sequence[Tensor]:
    """The next matrices of a pair of types, (outputs · d, inputs · c) each."""
    if outputs == inputs == 1:
        return [next(pieces).squeeze(0) for _ in range(irrep.matrices)]
    piece = next(pieces)
    d, c = piece.shape[1:]
    apart = piece.view(irrep.matrices, outputs, inputs, d, c)
    return apart.transpose(2, 3).reshape(irrep.matrices, outputs * d, inputs * c).unbind()


def _joined(parts: Sequence[Tensor], axis: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), axis)


def _side_by_side(part: Tensor, irrep: _Irrep, n: int, batch: int) -> Tensor:
    """(δ q, n · batch) -> (δ, n, q · batch): all copies of an irrep, its rows as a batch."""
    apart = part.reshape(irrep.dimension, irrep.degree, n, batch)
    return apart.transpose(1, 2).reshape(irrep.dimension, n, irrep.degree * batch)


def _by_rows(part: Tensor, irrep: _Irrep, n: int, d: int, batch: int) -> Tensor:
    """(δ, n · d, q · batch) -> (δ q n, d · batch)."""
    apart = part.reshape(irrep.dimension, n * d, irrep.degree, batch)
    return apart.transpose(1, 2).reshape(irrep.size * n, d * batch)


def _product(weights: Sequence[Tensor], x: Tensor, commutant: Tensor) -> Tensor:
    """Y = Σⱼ uⱼ Wⱼ X over the units uⱼ of the commutant: (δ, N, batch) -> (δ, M, batch).

    Complex numbers take three products instead of four (Gauss), of A, A + B and B - A.
    """
    if len(commutant) == 1:
        return (weights[0] @ x.squeeze(0)).unsqueeze(0)
    if len(commutant) == 2:
        real, imaginary = x.unbind()
        both = weights[0] @ (real + imaginary)
        return torch.stack([both - weights[1] @ imaginary, both + weights[2] @ real])
    terms = [
        torch.einsum("lk,knb->lnb", unit, torch.matmul(w, x))
        for unit, w in zip(commutant, weights, strict=True)
    ]
    return torch.stack(terms).sum(0)
