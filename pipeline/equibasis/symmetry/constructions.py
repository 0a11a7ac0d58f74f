"""Representations made of others: products, powers, restrictions, and what is equal among them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from equibasis.linalg.components import parts
from equibasis.linalg.memory import refuse_beyond_memory
from equibasis.symmetry.representations import (
    TOLERANCE,
    MatrixRepresentation,
    PermutationRepresentation,
    Representation,
    signs_of,
    simplest,
)

# How far rounding may move a whole number among the entries of a power.
_ROUNDING = 1e-12


def trivial_representation(order: int, dimension: int = 1) -> PermutationRepresentation:
    """ρ(g) = 1 on R^n, by default the scalars, for ``order`` elements."""
    return PermutationRepresentation(np.broadcast_to(np.arange(dimension), (order, dimension)))


def discrete_part(rho: Representation, count: int) -> np.ndarray:
    """ρ(g) of all elements listed but the last ``count``, float64 (|G| - count, n, n)."""
    matrices = rho.discrete if isinstance(rho, MatrixRepresentation) else rho.matrices
    return matrices[: rho.order - count]


def algebra_part(rho: Representation, count: int) -> tuple[sparse.csr_array, ...]:
    """dρ(A) of the last ``count`` elements listed, zero where ρ has none."""
    return (*rho.algebra,) or (sparse.csr_array((rho.dimension, rho.dimension)),) * count


def simplified(rho: Representation) -> Representation:
    """ρ itself, as permutations where it is made of such."""
    moves = any(abs(each).max() > 0 for each in rho.algebra)
    if moves or (not rho.algebra and rho.row_entries > 1):
        return rho
    return simplest(discrete_part(rho, len(rho.algebra)), rho.algebra)


def power_of_one(rho: Representation, exponent: int, *, symmetric: bool) -> Representation:
    """ρ on the symmetric or alternating tensors of R^n, in orthonormal coordinates.

    Coordinates are i₁ ≤ … ≤ i_k, or i₁ < … < i_k, in lexicographic order: the normalized
    (anti)symmetrizations of e_{i₁} ⊗ … ⊗ e_{i_k}. ρ' = Eᵀ ρ^{⊗k} E with these as columns of E.

    Raises
    ------
    EquibasisError
        If it does not fit in memory.
    """
    if exponent == 1:
        return rho
    n = rho.dimension
    size = math.comb(n + exponent - 1 if symmetric else n, exponent)
    if isinstance(rho, PermutationRepresentation):
        refuse_beyond_memory(32.0 * exponent * size * rho.order, "a power of a space")
        return _permuted_power(rho, exponent, symmetric=symmetric)
    refuse_beyond_memory(16.0 * exponent * math.factorial(exponent) * size**2, "a power of a space")
    count = len(rho.algebra)
    tensors = _symmetrizer(multi_indices(n, exponent, symmetric=symmetric), n, symmetric=symmetric)

    def on_tensors(factors: Sequence[sparse.csr_array]) -> sparse.csr_array:
        moved = tensors
        for axis, factor in enumerate(factors):
            moved = _along(factor, moved, axis, n, exponent)
        return sparse.csr_array(tensors.T @ moved)

    discrete = [on_tensors([rho.matrix(g)] * exponent).toarray() for g in range(rho.order - count)]
    # By symmetry each factor gives the same part of a Kronecker sum.
    algebra = [exponent * on_tensors([a]) for a in rho.algebra]
    return simplest(
        np.reshape(discrete, (-1, size, size)), [_without_rounding(each) for each in algebra]
    )


def multi_indices(n: int, exponent: int, *, symmetric: bool) -> np.ndarray:
    """i₁ ≤ … ≤ i_k, or i₁ < … < i_k, in lexicographic order: int64 (N, k)."""
    choose = itertools.combinations_with_replacement if symmetric else itertools.combinations
    return np.array(list(choose(range(n), exponent)), dtype=np.int64).reshape(-1, exponent)


def _symmetrizer(indices: np.ndarray, n: int, *, symmetric: bool) -> sparse.csr_array:
    """E, columns the normalized (anti)symmetrizations, sparse (n^k, N)."""
    count, exponent = indices.shape
    rows, columns, values = [], [], []
    steps = n ** np.arange(exponent - 1, -1, -1)
    for order in itertools.permutations(range(exponent)):
        rows.append(indices[:, order] @ steps)
        columns.append(np.arange(count))
        values.append(np.full(count, 1.0 if symmetric else _sign(order)))
    entries = np.concatenate(rows), np.concatenate(columns)
    tensors = sparse.csc_array((np.concatenate(values), entries), shape=(n**exponent, count))
    norms = np.sqrt(np.asarray(tensors.multiply(tensors).sum(axis=0)).ravel())
    return sparse.csr_array(tensors @ sparse.diags_array(1.0 / norms))


def _along(
    factor: sparse.csr_array, tensors: sparse.csr_array, axis: int, n: int, exponent: int
) -> sparse.csr_array:
    """(1 ⊗ … ⊗ factor ⊗ … ⊗ 1) times the columns of ``tensors``."""
    left, right = (sparse.eye_array(n**power) for power in (axis, exponent - axis - 1))
    return sparse.csr_array(sparse.kron(sparse.kron(left, factor), right, format="csr") @ tensors)


def _without_rounding(matrix: sparse.csr_array) -> sparse.csr_array:
    """Whole numbers where entries are within rounding of them, and no stored zeros."""
    nearest = np.rint(matrix.data)
    close = np.abs(matrix.data - nearest) < _ROUNDING
    matrix.data = np.where(close, nearest, matrix.data)
    matrix.eliminate_zeros()
    return matrix


def _sign(order: Sequence[int]) -> int:
    """Return the sign of a permutation."""
    inversions = sum(a > b for a, b in itertools.combinations(order, 2))
    return -1 if inversions % 2 else 1


def _permuted_power(
    rho: PermutationRepresentation, exponent: int, *, symmetric: bool
) -> PermutationRepresentation:
    """Build the power of (signed) permutations, which are so again."""
    n = rho.dimension
    indices = multi_indices(n, exponent, symmetric=symmetric)
    steps = n ** np.arange(exponent - 1, -1, -1)
    place = indices @ steps  # ascending, as the order is lexicographic
    images = rho.index[:, indices]
    order = np.argsort(images, axis=2, kind="stable")
    index = np.searchsorted(place, np.take_along_axis(images, order, axis=2) @ steps)
    signs = signs_of(rho)[:, indices].prod(axis=2, dtype=np.int8)
    if not symmetric:
        for a, b in itertools.combinations(range(exponent), 2):
            signs = np.where(images[:, :, a] > images[:, :, b], -signs, signs)
    return PermutationRepresentation(index, signs)


def at_elements(
    rho: Representation, discrete: Sequence[int], algebra: Sequence[int] = ()
) -> Representation:
    """ρ of some of the elements listed, in another order or more than once.

    By their positions; -1 is the identity, and 0 among those of the algebra.
    """
    n = rho.dimension
    if isinstance(rho, PermutationRepresentation):
        listed = [*discrete, *[-1] * len(algebra)]
        index = np.concatenate([rho.index, np.arange(n)[None]])
        signs = np.concatenate([signs_of(rho), np.ones((1, n), dtype=np.int8)])
        return PermutationRepresentation(index[listed], signs[listed])
    start = rho.order - len(rho.algebra)
    elements = np.concatenate([rho.discrete, np.eye(n)[None]])
    still = sparse.csr_array((n, n))
    return simplest(
        elements[np.array(discrete, dtype=np.int64)],
        [rho.algebra[a - start] if a >= start else still for a in algebra],
    )


def restriction(rho: Representation, coordinates: np.ndarray) -> Representation:
    """ρ on the span of some coordinates, in any order, which every ρ(g) keeps."""
    if np.array_equal(coordinates, np.arange(rho.dimension)):
        return rho
    if isinstance(rho, PermutationRepresentation):
        places = np.zeros(rho.dimension, dtype=rho.index.dtype)
        places[coordinates] = np.arange(len(coordinates))
        index = places[rho.index[:, coordinates]]
        return PermutationRepresentation(index, signs_of(rho)[:, coordinates])
    rows = coordinates[:, None]
    return MatrixRepresentation(
        rho.discrete[:, rows, coordinates],
        [sparse.csr_array(each[rows, coordinates]) for each in rho.algebra],
    )


def invariant_coordinates(rho: Representation) -> list[np.ndarray]:
    """Return the finest partition of coordinates such that each part spans an invariant subspace.

    For a direct sum these are its summands, or parts of them; ascending by first coordinate.
    """
    pattern = sparse.csr_array((rho.dimension,) * 2)
    for move in rho.moves():
        pattern = pattern + abs(move)
        count, component = csgraph.connected_components(pattern, directed=False)
        if count == 1:
            break
    return parts(component)


def part_numbers(partition: Sequence[np.ndarray]) -> np.ndarray:
    """Return the number of each coordinate's part, in a partition of them: int64 (n,)."""
    numbers = np.repeat(np.arange(len(partition)), [len(part) for part in partition])
    return numbers[np.argsort(np.concatenate(partition))]


def same_representation(a: Representation, b: Representation) -> bool:
    """Whether two representations are equal, element by element."""
    if a.order != b.order or a.dimension != b.dimension:
        return False
    if isinstance(a, PermutationRepresentation) and isinstance(b, PermutationRepresentation):
        return np.array_equal(a.index, b.index) and np.array_equal(signs_of(a), signs_of(b))
    count = max(len(a.algebra), len(b.algebra))
    curves = zip(algebra_part(a, count), algebra_part(b, count), strict=True)
    return all(abs(one - other).max() <= TOLERANCE for one, other in curves) and np.allclose(
        discrete_part(a, count), discrete_part(b, count), rtol=0, atol=TOLERANCE
    )
