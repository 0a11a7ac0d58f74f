"""What equivariance demands of a linear map: C vec(W) = 0, one sparse C for each generator."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from equibasis.linalg.kernel import commutator
from equibasis.linalg.rational import whole_in_units
from equibasis.symmetry.constructions import algebra_part
from equibasis.symmetry.hom_space import HomSpace


def constraints(space: HomSpace, kept: np.ndarray | None = None) -> Iterator[sparse.csc_array]:
    """Each C: for an orthonormal basis of the Lie algebra, and for the discrete elements."""
    for on_input, on_output in space.algebra_basis:
        if on_input.nnz or on_output.nnz:
            yield commutator(on_input, on_output, kept)
    for on_input, on_output in _discrete(space):
        yield commutator(on_input, on_output, kept)


def generators(space: HomSpace) -> Iterator[tuple[sparse.csr_array, sparse.csr_array]]:
    """ρ₁(h) and ρ₂(h) of generators, then dρ₁(A) and dρ₂(A) of the algebra elements given.

    Without those of the algebra that act by zero; the identity, where nothing is left.
    """
    parts = [algebra_part(rho, space.continuous) for rho in (space.input, space.output)]
    curves = [pair for pair in zip(*parts, strict=True) if pair[0].nnz or pair[1].nnz]
    found = [*_discrete(space), *curves]
    if not found:
        yield sparse.eye_array(space.m, format="csr"), sparse.eye_array(space.k, format="csr")
    yield from found


def _discrete(space: HomSpace) -> Iterator[tuple[sparse.csr_array, sparse.csr_array]]:
    for g in space.generating:
        if g < space.input.order - space.continuous:
            yield space.input.matrix(g), space.output.matrix(g)


@dataclass(frozen=True, eq=False)
class WholeConstraints:
    """What the generators, as given, demand of W' = (W_oi / √τ_oi), in whole numbers.

    Attributes
    ----------
    constraints
        Each C with C vec(W') = 0, int64 (km, s), on some coordinates.
    squares
        τ of these coordinates, whole numbers, int64 (s,); all 1 where generators are fractions.
    """

    constraints: list[sparse.csc_array]
    squares: np.ndarray


def whole_constraints(space: HomSpace, kept: np.ndarray | None = None) -> WholeConstraints | None:
    """Constraints in whole numbers, on the coordinates ``kept``, by default all of vec(W).

    ``None`` where entries of the generators are no fractions, nor would be in other units of the
    coordinates, W_oi / √(σ_i / σ_o).
    """
    kept = np.arange(space.dimension) if kept is None else kept
    both = [sparse.block_diag(pair, format="csr") for pair in generators(space)]
    whole = whole_in_units(both)
    if whole is None:
        return None
    (matrices, squares), m = whole, space.m
    found = [commutator(each[:m, :m], each[m:, m:], kept) for each in matrices]
    of_input, of_output = squares[:m], squares[m:]
    o, i = np.divmod(kept, m)
    common = math.lcm(*np.unique(of_output).tolist())
    return WholeConstraints(found, of_input[i] * (common // of_output[o]))
