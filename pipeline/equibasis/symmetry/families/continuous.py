"""Continuous groups by name, as matrices of whole numbers on V.

Each lists Lie algebra elements that make all others by brackets, so of neighbouring coordinates
alone: ``L12`` turns the plane of the first two, ``K12`` boosts it, ``E12`` adds x₂ to x₁.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from fractions import Fraction

import numpy as np
from scipy import sparse

from equibasis.errors import GroupError
from equibasis.linalg.canonical import canonical_basis
from equibasis.linalg.numbers import whole_number
from equibasis.symmetry.constructions import discrete_part, power_of_one
from equibasis.symmetry.families import CONTINUOUS, family
from equibasis.symmetry.families.matrices import matrix_group, realify
from equibasis.symmetry.group import Group
from equibasis.symmetry.lie import MOST_DIMENSIONS
from equibasis.symmetry.representations import MatrixRepresentation, Representation

# The real spins that so3 and o3 have by name beside V, which is that of spin 1.
_SPINS = (2, 3, 4)


def _check_size(name: str, n: int, dimension: int, *, least: int = 1) -> None:
    """Refuse what is no continuous group, or one too large to work with."""
    what = f"the size of group {name!r}"
    whole_number(n, what, least=least, most=MOST_DIMENSIONS, error=GroupError)
    if dimension > MOST_DIMENSIONS:
        raise GroupError(
            f"group {name!r} has a Lie algebra of {dimension:,} dimensions, and the most is "
            f"{MOST_DIMENSIONS:,}"
        )


def _unit(n: int, row: int, column: int) -> np.ndarray:
    """Return the matrix (n, n) with one entry, 1."""
    matrix = np.zeros((n, n))
    matrix[row, column] = 1.0
    return matrix


def _turn(n: int, i: int, j: int) -> np.ndarray:
    """From coordinate i towards j."""
    return _unit(n, j, i) - _unit(n, i, j)


def _boost(n: int, i: int, j: int) -> np.ndarray:
    return _unit(n, j, i) + _unit(n, i, j)


def _mirror(n: int, *coordinates: int) -> np.ndarray:
    signs = np.ones(n)
    signs[list(coordinates)] = -1.0
    return np.diag(signs)


def _label(letter: str, i: int, j: int) -> str:
    """``L12`` for coordinates 0 and 1; ``L9_10`` where digits would run together."""
    return f"{letter}{i + 1}{j + 1}" if max(i, j) < 9 else f"{letter}{i + 1}_{j + 1}"


# --- orthogonal and pseudo-orthogonal -----------------------------------------------------------


@family("so{n}", CONTINUOUS)
def special_orthogonal(n: int) -> Group:
    """``so{n}``: rotations of R^n."""
    return _with_spins(_orthogonal(f"so{n}", n, 0))


@family("o{n}", CONTINUOUS)
def orthogonal(n: int) -> Group:
    """``o{n}``: rotations and reflections of R^n."""
    return _with_spins(_orthogonal(f"o{n}", n, 0, {"reflection": (0,)}))


@family("so+{p},{q}", CONTINUOUS)
def proper_pseudo_orthogonal(p: int, q: int) -> Group:
    """``so+{p},{q}``: the connected group that keeps x₁² + … + x_p² - … - x_{p+q}²."""
    return _orthogonal(f"so+{p},{q}", p, q)


@family("so{p},{q}", CONTINUOUS)
def special_pseudo_orthogonal(p: int, q: int) -> Group:
    """``so{p},{q}``: all of determinant 1 that keep it, in two components."""
    return _orthogonal(f"so{p},{q}", p, q, {"reflection+-": (0, p)})


@family("o{p},{q}", CONTINUOUS)
def pseudo_orthogonal(p: int, q: int) -> Group:
    """``o{p},{q}``: all that keep it, in four components."""
    return _orthogonal(f"o{p},{q}", p, q, {"reflection+": (0,), "reflection-": (p,)})


def _orthogonal(
    name: str, p: int, q: int, mirrored: Mapping[str, tuple[int, ...]] | None = None
) -> Group:
    n = p + q
    _check_size(name, n, n * (n - 1) // 2, least=2)
    algebra = {}
    for i, j in itertools.pairwise(range(n)):
        letter, make = ("K", _boost) if j == p else ("L", _turn)
        algebra[_label(letter, i, j)] = make(n, i, j)
    mirrors = {each: _mirror(n, *coordinates) for each, coordinates in (mirrored or {}).items()}
    return matrix_group(name, mirrors or None, algebra=algebra)


def _with_spins(group: Group) -> Group:
    """In three dimensions, with the real representations of spin 2, 3 and 4."""
    rho = group.representations["V"]
    if rho.dimension != 3:
        return group
    return group.with_representations(**{f"l{spin}": _spin(rho, spin) for spin in _SPINS})


def _spin(rho: Representation, spin: int) -> Representation:
    """ρ on the traceless symmetric tensors of R³, in their canonical basis, (2 spin + 1)."""
    powers = power_of_one(rho, spin, symmetric=True)
    a, b = (each.toarray() for each in powers.algebra)
    # The Casimir element is j (j + 1) on the part of spin j, for j = spin, spin - 2, …
    casimir = -sum(each @ each for each in (a, b, a @ b - b @ a))
    projector = one = np.eye(powers.dimension)
    for j in range(spin - 2, -1, -2):
        factor = spin * (spin + 1) - j * (j + 1)
        projector = projector @ (casimir - j * (j + 1) * one) / factor
    columns = canonical_basis(sparse.csr_array(projector)).toarray()
    return MatrixRepresentation(
        _rounded(columns.T @ discrete_part(powers, 2) @ columns),
        [sparse.csr_array(_rounded(columns.T @ each @ columns)) for each in (a, b)],
    )


def _rounded(matrix: np.ndarray) -> np.ndarray:
    """Each entry, a root of a fraction of small numbers, as the float nearest to it."""
    squares = [float(Fraction(x).limit_denominator(1000)) for x in np.square(matrix).flat]
    return np.copysign(np.sqrt(squares).reshape(matrix.shape), matrix) + 0.0


# --- unitary ------------------------------------------------------------------------------------


@family("su{n}", CONTINUOUS)
def special_unitary(n: int) -> Group:
    """``su{n}``: on V = R^2n, the real and then the imaginary parts of C^n.

    ``X12`` is i (E₁₂ + E₂₁), ``Y12`` is E₁₂ - E₂₁: for n = 2, i times Pauli's matrices.
    """
    _check_size(f"su{n}", n, n * n - 1, least=2)
    return matrix_group(f"su{n}", algebra=_unitary(n))


@family("u{n}", CONTINUOUS)
def unitary(n: int) -> Group:
    """``u{n}``: the same, with all phases."""
    _check_size(f"u{n}", n, n * n)
    return matrix_group(f"u{n}", algebra={**_unitary(n), "phase": realify(1j * np.eye(n))})


def _unitary(n: int) -> dict[str, np.ndarray]:
    algebra = {}
    for i, j in itertools.pairwise(range(n)):
        algebra[_label("X", i, j)] = realify(1j * _boost(n, i, j))
        algebra[_label("Y", i, j)] = realify(_turn(n, j, i))
    return algebra


# --- symplectic, linear -------------------------------------------------------------------------


@family("sp{2m}", CONTINUOUS)
def symplectic(n: int) -> Group:
    """``sp{2m}``: what keeps Σ q_i p'_i - p_i q'_i on V = R^2m, first all q and then all p.

    ``E12`` adds q₂ to q₁ and takes p₁ from p₂; ``Q`` adds the last p to its q, ``P`` the last q
    to its p.
    """
    if n % 2:
        raise GroupError(f"group 'sp{n}' acts on R^2m: its number is even")
    _check_size(f"sp{n}", n, n * (n + 1) // 2, least=2)
    m = n // 2
    algebra = {
        label: _unit(n, i, j) - _unit(n, m + j, m + i) for label, i, j in _neighbours_both_ways(m)
    }
    algebra |= {"Q": _unit(n, m - 1, n - 1), "P": _unit(n, n - 1, m - 1)}
    return matrix_group(f"sp{n}", algebra=algebra)


@family("sl{n}", CONTINUOUS)
def special_linear(n: int) -> Group:
    """``sl{n}``: the matrices of determinant 1."""
    _check_size(f"sl{n}", n, n * n - 1, least=2)
    return matrix_group(f"sl{n}", algebra=_shears(n))


@family("gl{n}", CONTINUOUS)
def general_linear(n: int) -> Group:
    """``gl{n}``: all invertible matrices."""
    _check_size(f"gl{n}", n, n * n)
    return matrix_group(
        f"gl{n}", {"reflection": _mirror(n, 0)}, algebra={**_shears(n), "scale": np.eye(n)}
    )


@family("scale{n}", CONTINUOUS)
def scalings(n: int) -> Group:
    """``scale{n}``: the positive multiples of the identity of R^n."""
    _check_size(f"scale{n}", n, 1)
    return matrix_group(f"scale{n}", algebra={"scale": np.eye(n)})


def _shears(n: int) -> dict[str, np.ndarray]:
    return {label: _unit(n, i, j) for label, i, j in _neighbours_both_ways(n)}


def _neighbours_both_ways(n: int) -> list[tuple[str, int, int]]:
    pairs = [each for i, j in itertools.pairwise(range(n)) for each in ((i, j), (j, i))]
    return [(_label("E", i, j), i, j) for i, j in pairs]


# --- exceptional --------------------------------------------------------------------------------


@family("g2", CONTINUOUS)
def automorphisms_of_octonions() -> Group:
    """``g2``: the automorphisms of the octonions, on V = R⁷, the imaginary ones.

    e_i e_{i+1} = e_{i+3}, numbers modulo 7. Each unit is the product of three pairs, and the
    differences of turns in the planes of those are derivations: two for each unit, 14 in all.
    """
    algebra = {}
    for unit in range(7):
        pairs = [((unit + a) % 7, (unit + b) % 7) for a, b in ((1, 3), (2, 6), (4, 5))]
        turns = [_turn(7, *pair) for pair in pairs]
        algebra[f"D{unit + 1}"] = turns[0] - turns[1]
        algebra[f"E{unit + 1}"] = turns[1] - turns[2]
    return matrix_group("g2", algebra=algebra)
