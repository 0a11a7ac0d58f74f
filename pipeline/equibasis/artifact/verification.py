"""Proving a basis from its numbers alone, one pair of orbit types after the other."""

from __future__ import annotations

import numpy as np

from equibasis.errors import EquibasisError
from equibasis.linalg.canonical import canonical_factor
from equibasis.linalg.components import NEGLIGIBLE
from equibasis.linalg.memory import refuse_beyond_memory
from equibasis.solvers import orbits
from equibasis.solvers.angle import same_array, same_summands
from equibasis.solvers.basis import (
    TOLERANCE,
    Basis,
    Checks,
    check_errors,
    check_is_basis,
    measure,
)
from equibasis.solvers.kernel import is_exact
from equibasis.solvers.tables import MatrixTable, OrbitTable
from equibasis.symmetry.constructions import same_representation
from equibasis.symmetry.hom_space import HomSpace
from equibasis.symmetry.orbit_types import orbit_types
from equibasis.symmetry.representations import MatrixRepresentation

# Numbers in the representations of a space that is split into orbit types anew.
_MOST_IMAGES = 2**24


def verify_basis(basis: Basis) -> Checks:
    """Recheck a basis from scratch, trusting nothing but its numbers.

    The small representations are those of a group (where all elements are listed), and the orbit
    types of X and Y; the rank is that which characters give; every element or generator listed
    leaves every column where it is; the columns are orthonormal, and the canonical ones, for orbits
    by finding them anew.

    Returns
    -------
    Checks
        The errors as they are now.

    Raises
    ------
    EquibasisError
        With the first reason why the basis does not hold.
    """
    check_is_basis(basis)
    try:
        with np.errstate(all="ignore"):  # what overflows fails its comparison
            return _verified(basis)
    except (ArithmeticError, np.linalg.LinAlgError, ValueError) as error:  # hostile numbers
        raise EquibasisError(f"its numbers cannot be checked: {error}") from error


def is_proved_exact(basis: Basis) -> bool:
    """Whether every table of matrices of a verified basis is exact to the last bit, and proved.

    In whole numbers, which the generators have to be made of, or of fractions or their roots;
    false where there are no such tables: those of orbits have nothing to prove.
    """
    tables = [(each.table, each.space) for each in basis.blocks]
    of_matrices = [(table, space) for table, space in tables if isinstance(table, MatrixTable)]
    with np.errstate(all="ignore"):
        return bool(of_matrices) and all(is_exact(*each) for each in of_matrices)


def _verified(basis: Basis) -> Checks:
    _ = basis.space.generating  # checks that the elements are a group
    _check_types(basis.space)
    for block in basis.blocks:
        if isinstance(block.table, OrbitTable):
            needed = orbits.SOLVER.cost(block.space).memory
            refuse_beyond_memory(needed, f"to verify a table of {basis!r}")
    checks = measure(basis)
    check_errors(basis.rank, checks)
    for block in basis.blocks:
        if isinstance(block.table, OrbitTable):
            _check_orbits(block.table, block.space)
        else:
            _check_canonical(block.table)
    return checks


def _check_types(space: HomSpace) -> None:
    """Whether the types are those that would be found anew, in their order."""
    sides = (space.input, space.output)
    sizes = [
        each.dimension ** (2 if isinstance(each, MatrixRepresentation) else 1) for each in sides
    ]
    if len(space.elements) * sum(sizes) > _MOST_IMAGES:
        return
    found = orbit_types(space.input, space.output, enumerated=space.complete)
    stored = space.types
    same = (
        len(found.representations) == len(stored.representations)
        and all(map(same_representation, found.representations, stored.representations))
        and same_summands(found.input, stored.input)
        and same_summands(found.output, stored.output)
    )
    if not same:
        raise EquibasisError("the basis is not the canonical one: X or Y have other orbit types")


def _check_orbits(table: OrbitTable, space: HomSpace) -> None:
    """Whether labels are orbits, none of them several in one: by finding them anew."""
    found = orbits.solve(space)
    if not (np.array_equal(found.labels, table.labels) and same_array(found.signs, table.signs)):
        raise EquibasisError("the basis is not the canonical one: its columns are not orbits")


def _check_canonical(table: MatrixTable) -> None:
    """Compare B with the pivoted Cholesky factor of B Bᵀ."""
    values = table.values
    if not table.rank:
        return
    if ((values != 0) & (np.abs(values) <= NEGLIGIBLE)).any():
        raise EquibasisError("the basis is not the canonical one: it holds rounding for zeros")
    factor, pivots = canonical_factor(values)
    off = float(np.abs(factor[:, np.argsort(pivots)] - values).max(initial=0.0))
    if not off <= TOLERANCE:
        raise EquibasisError(f"the basis is not the canonical one: off by {off:.3g}")
