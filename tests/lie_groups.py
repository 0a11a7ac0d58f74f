"""Groups of matrices written out from their definitions, and null spaces by brute force."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from scipy import sparse
from scipy.linalg import block_diag

import equibasis as eb

Matrices = list[np.ndarray]


def unit(n: int, row: int, column: int) -> np.ndarray:
    """The matrix (n, n) with one entry."""
    matrix = np.zeros((n, n))
    matrix[row, column] = 1.0
    return matrix


def so(p: int, q: int = 0) -> Matrices:
    """A with Aᵀη + ηA = 0, the first p coordinates positive."""
    n, eta = p + q, [1.0] * p + [-1.0] * q
    return [
        unit(n, i, j) - eta[i] * eta[j] * unit(n, j, i)
        for i, j in itertools.combinations(range(n), 2)
    ]


def gl(n: int) -> Matrices:
    """All matrices."""
    return [unit(n, i, j) for i, j in itertools.product(range(n), repeat=2)]


def sl(n: int) -> Matrices:
    """Matrices of trace zero."""
    off = [unit(n, i, j) for i, j in itertools.permutations(range(n), 2)]
    return off + [unit(n, i, i) - unit(n, i + 1, i + 1) for i in range(n - 1)]


def sp(n: int) -> Matrices:
    """A with AᵀJ + JA = 0 on R^n, n even."""
    m = n // 2
    found = [
        unit(n, i, j) - unit(n, m + j, m + i) for i, j in itertools.product(range(m), repeat=2)
    ]
    for i, j in itertools.combinations_with_replacement(range(m), 2):
        lower = np.minimum(unit(n, m + i, j) + unit(n, m + j, i), 1.0)
        found += [lower, lower.T]
    return found


def real(matrix: np.ndarray) -> np.ndarray:
    """On real and imaginary parts."""
    return np.block([[matrix.real, -matrix.imag], [matrix.imag, matrix.real]])


def u(n: int) -> Matrices:
    """Antihermitian matrices, on real and imaginary parts."""
    return _off_diagonal(n) + [real(1j * unit(n, i, i)) for i in range(n)]


def su(n: int) -> Matrices:
    """The same of trace zero."""
    return _off_diagonal(n) + [
        real(1j * (unit(n, i, i) - unit(n, i + 1, i + 1))) for i in range(n - 1)
    ]


def _off_diagonal(n: int) -> Matrices:
    found = []
    for i, j in itertools.combinations(range(n), 2):
        found.append(real((unit(n, i, j) - unit(n, j, i)).astype(complex)))
        found.append(real(1j * (unit(n, i, j) + unit(n, j, i))))
    return found


def su3_adjoint() -> Matrices:
    """su(3) on itself, in the orthonormal basis of Gell-Mann: entries 1, 1/2 and √3/2."""
    basis = []
    for i, j in [(0, 1), (0, 2), (1, 2)]:
        one, other = unit(3, i, j), unit(3, j, i)
        basis += [one + other, 1j * (other - one)]
    basis += [np.diag([1, -1, 0]), np.diag([1, 1, -2]) / np.sqrt(3)]
    brackets = [[-0.5j * (a @ b - b @ a) for b in basis] for a in basis]
    return [
        np.array([[np.trace(c @ bracket).real / 2 for bracket in of_a] for c in basis])
        for of_a in brackets
    ]


def g2() -> Matrices:
    """What keeps the product of imaginary octonions: 14 of the 21 dimensions of so(7)."""
    product = np.zeros((7, 7, 7))
    for triple in [(1, 2, 3), (1, 4, 5), (1, 7, 6), (2, 4, 6), (2, 5, 7), (3, 4, 7), (3, 6, 5)]:
        for order in itertools.permutations(range(3)):
            sign = np.linalg.det(np.eye(3)[list(order)])
            product[tuple(triple[k] - 1 for k in order)] = round(sign)
    basis = np.stack(so(7))
    changes = sum(
        np.einsum(what, basis, product)
        for what in ("nia,ajk->nijk", "nja,iak->nijk", "nka,ija->nijk")
    )
    # Σ c_n changes_n = 0; reduced by columns these combinations have whole coefficients.
    coefficients = _null(changes.reshape(len(basis), -1).T)
    pivots: list[int] = []
    for column in range(len(basis)):
        if np.linalg.matrix_rank(coefficients[[*pivots, column]], tol=1e-9) > len(pivots):
            pivots.append(column)
    whole = coefficients @ np.linalg.inv(coefficients[pivots])
    return list(np.einsum("nk,nij->kij", np.rint(whole), basis))


def reflection(n: int, *axes: int) -> np.ndarray:
    """-1 on some axes."""
    return np.diag([-1.0 if i in axes else 1.0 for i in range(n)])


def twice(first: Matrices) -> Matrices:
    """Each on one of two copies of the space."""
    still = np.zeros_like(first[0])
    return [block_diag(a, still) for a in first] + [block_diag(still, a) for a in first]


def exchange(n: int) -> np.ndarray:
    """Two copies of R^n exchanged."""
    return np.kron(np.array([[0.0, 1.0], [1.0, 0.0]]), np.eye(n))


def group(algebra: Matrices, *discrete: np.ndarray, name: str = "a group") -> eb.Group:
    """The group that they generate."""
    return eb.matrix_group(name, list(discrete) or None, algebra=algebra)


def in_basis(matrices: Sequence[np.ndarray], basis: np.ndarray) -> Matrices:
    """The same matrices in other coordinates."""
    inverse = np.linalg.inv(basis)
    return [basis @ matrix @ inverse for matrix in matrices]


def tensor(matrix: np.ndarray, exponent: int, *, algebra: bool) -> np.ndarray:
    """Its action on a tensor power, as a Kronecker product or sum."""
    n, found = len(matrix), np.zeros((1, 1)) if algebra else np.ones((1, 1))
    for _ in range(exponent):
        if algebra:
            found = np.kron(found, np.eye(n)) + np.kron(np.eye(len(found)), matrix)
        else:
            found = np.kron(found, matrix)
    return found


def nullity(algebra: Matrices, discrete: Sequence[np.ndarray], source: int, target: int) -> int:
    """dim Hom(V^source, V^target): how often Σ CᵀC of all constraints C has the eigenvalue 0."""
    grams = []
    for matrices, of_algebra in ((algebra, True), (discrete, False)):
        for matrix in matrices:
            one, other = (tensor(matrix, k, algebra=of_algebra) for k in (source, target))
            left = sparse.kron(other, sparse.eye_array(len(one)))
            constraint = left - sparse.kron(sparse.eye_array(len(other)), one.T)
            grams.append((constraint.T @ constraint).toarray())
    eigenvalues = np.linalg.eigvalsh(sum(grams))
    return int((eigenvalues <= 1e-9 * eigenvalues[-1]).sum())


def _null(matrix: np.ndarray) -> np.ndarray:
    _, scales, vectors = np.linalg.svd(matrix)
    return vectors[int((scales > 1e-9).sum()) :].T
