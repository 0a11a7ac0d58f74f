"""Groups of matrices, finite and continuous, from generators."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from scipy import sparse

from equibasis.errors import GroupError
from equibasis.linalg.numbers import real_array, whole_numbers
from equibasis.symmetry.families import named
from equibasis.symmetry.group import Group
from equibasis.symmetry.relations import check_relations
from equibasis.symmetry.representations import simplest

Generators: TypeAlias = Mapping[str, Any] | Sequence[Any]

# Algebra elements are divided by a power of two until no entry is larger.
_LARGEST_ENTRY = 4.0


def matrix_group(
    name: str,
    generators: Generators | None = None,
    *,
    algebra: Generators | None = None,
    representations: Mapping[str, Generators] | None = None,
    faithful: str | None = "the first",
) -> Group:
    """Make the group that matrices generate, with one representation, ``V``, or several.

    Parameters
    ----------
    name
        What files and messages call the group.
    generators
        Invertible real matrices (n, n) of its representation ``V`` = R^n, in a list or by name. A
        complex one has a real form of twice the size: `equibasis.realify`.
    algebra
        Matrices (n, n) of Lie algebra elements A, likewise: each stands for all exp(tA), so it is
        kept up to a positive factor. With ``representations``: the names of those generators that
        are algebra elements.
    representations
        By name, for each generator its matrix; where it permutes coordinates, a list of images (i
        goes to ``images[i]``), or a pair of images and signs. Each tells of every generator.
    faithful
        The representation, the first by default, whose relations have to hold in the others, so
        that all are of the one group that is meant. ``None``: whatever group they generate jointly.

    Raises
    ------
    GroupError
        If they are not real, square, invertible and of one size, or not of one group.

    Examples
    --------
    >>> turn = [[0, -1], [1, 0]]
    >>> import equibasis as eb
    >>> eb.solve(matrix_group("so2", algebra={"turn": turn}), input="V", output="V").rank
    2
    """
    if representations is not None:
        if generators is not None:
            raise GroupError(f"group {name!r}: give generators, or representations, not both")
        return _of_representations(name, representations, algebra, faithful)
    curves = {} if algebra is None else named(name, algebra, "a")
    discrete = (
        {}
        if generators is None and curves
        else named(name, () if generators is None else generators)
    )
    if twice := [each for each in discrete if each in curves]:
        raise GroupError(f"group {name!r} has {twice[0]!r} twice: give each its own name")
    return _of_representations(name, {"V": {**discrete, **curves}}, tuple(curves), None)


def realify(matrix: Any) -> np.ndarray:
    """Return the real form of a complex matrix M = A + iB: on the real, then imaginary parts.

    ::

        [[A, -B],
         [B,  A]]

    Parameters
    ----------
    matrix
        Complex or real, (n, n).

    Returns
    -------
    numpy.ndarray
        float64 (2n, 2n).

    Raises
    ------
    GroupError
        If it is no square matrix of numbers.

    Examples
    --------
    >>> realify([[1j]])
    array([[ 0., -1.],
           [ 1.,  0.]])
    """
    given = _complex(matrix)
    parts = (matrix, np.zeros(1)) if given is None else (given.real, given.imag)
    real, imaginary = (real_array(part, "the matrix to realify", GroupError) for part in parts)
    if real.ndim != 2 or real.shape[0] != real.shape[1] or not real.size:
        raise GroupError(f"the matrix to realify is square, not of shape {real.shape}")
    imaginary = np.broadcast_to(imaginary, real.shape)
    return np.block([[real, 0.0 - imaginary], [imaginary, real]])


def _complex(given: Any) -> np.ndarray | None:
    """Complex numbers as an array; ``None`` where it is no array of such."""
    try:
        array = np.asarray(given)
    except Exception:  # ragged, or a tensor that is far: refused as what it is
        return None
    return array if array.dtype.kind == "c" else None


def _of_representations(
    name: str,
    representations: Mapping[str, Generators],
    algebra: Generators | None,
    faithful: str | None,
) -> Group:
    if not isinstance(representations, Mapping) or not representations:
        raise GroupError(
            f"group {name!r}: representations are a dictionary by name, of one at least"
        )
    given = {each: named(name, of_each) for each, of_each in representations.items()}
    first = next(iter(given))
    every = tuple(given[first])
    for each, of_each in given.items():
        if odd := [g for g in (*every, *of_each) if g not in of_each or g not in every]:
            missing = first if odd[0] in of_each else each
            raise GroupError(
                f"group {name!r}: representation {missing!r} does not say how {odd[0]} acts"
            )
    curves = () if algebra is None else tuple(algebra)
    for generator in curves:
        if generator not in every:
            raise GroupError(
                f"group {name!r}: the algebra element {generator!r} is none of its generators: "
                "with representations, algebra is a list of their names"
            )
    discrete = tuple(generator for generator in every if generator not in curves)
    matrices = {each: _matrices(name, each, of_each, curves) for each, of_each in given.items()}
    _scale(matrices.values(), curves)
    made = {}
    for each, of_each in matrices.items():
        n = len(of_each[every[0]])
        stacked = np.reshape([of_each[g] for g in discrete], (-1, n, n))
        made[each] = simplest(stacked, [sparse.csr_array(of_each[a]) for a in curves])
    if faithful is not None:
        faithful = first if faithful == "the first" else faithful
        if faithful not in made:
            raise GroupError(f"group {name!r} has no representation {faithful!r} to be faithful")
        check_relations(name, (*discrete, *curves), made, faithful)
    return Group(name, discrete, None, complete=False, algebra=curves, representations=made)


def _matrix(what: str, given: Any) -> np.ndarray:
    """Return a matrix from what a user writes: itself, images, or images and signs."""
    if isinstance(given, tuple) and len(given) == 2 and all(map(_is_flat, given)):
        images, signs = given
        if len(images) == 2 and sorted(images) == [0, 1] and {*signs} <= {1, -1}:
            raise GroupError(
                f"{what} can be a matrix or images with signs: give a matrix, as a list of lists"
            )
        if len(images) != 2:
            return permutation_matrix(what, images, signs)
    if _is_flat(given):
        return permutation_matrix(what, given, [1] * len(given))
    if _complex(given) is not None:
        raise GroupError(
            f"{what} holds complex numbers, and a basis is real: give the real form of M, "
            "equibasis.realify(M), which is numpy.block([[M.real, -M.imag], [M.imag, M.real]])"
        )
    return real_array(given, what, GroupError)


def _is_flat(given: Any) -> bool:
    """Whether it is a list of numbers, and not one of lists."""
    return (
        isinstance(given, (list, tuple, np.ndarray))
        and len(given) > 0
        and not any(isinstance(row, (list, tuple)) or getattr(row, "ndim", 0) for row in given)
    )


def permutation_matrix(what: str, images: Any, signs: Any) -> np.ndarray:
    """e_i -> signs[i] e_images[i], (n, n)."""
    found = whole_numbers(images, what, GroupError)
    factors = whole_numbers(signs, what, GroupError)
    n = len(found)
    if sorted(found) != list(range(n)) or len(factors) != n or {*factors} - {1, -1}:
        raise GroupError(
            f"{what} is no list of images 0 to {n - 1}, each once, with signs 1 and -1"
        )
    matrix = np.zeros((n, n))
    matrix[found, np.arange(n)] = factors
    return matrix


def _matrices(
    name: str, representation: str, given: Mapping[str, Any], curves: Sequence[str]
) -> dict[str, np.ndarray]:
    """Read the matrices of a representation: square, of one size, invertible but for curves."""
    where, of_name = "", name
    if representation != "V":
        where, of_name = f" in {representation!r}", f"{name}, {representation}"
    found = {g: _matrix(f"group {name!r}: {g}{where}", matrix) for g, matrix in given.items()}
    size = next(iter(found.values())).shape[:1]
    for generator, matrix in found.items():
        if not size or size[0] < 1 or matrix.shape != size * 2:
            raise GroupError(
                f"group {of_name!r}: {generator} has shape {matrix.shape}; generators are square "
                "matrices of one size"
            )
        if generator not in curves and not np.linalg.cond(matrix) < 1e8:
            raise GroupError(f"group {of_name!r}: {generator} is not an invertible matrix")
    return found


def _scale(representations: Iterable[dict[str, np.ndarray]], curves: Sequence[str]) -> None:
    """Divide algebra elements by what whole entries have in common, and by powers of two."""
    every = list(representations)
    for curve in curves:
        entries = np.concatenate([each[curve].ravel() for each in every])
        factor = 1.0
        if (entries == np.rint(entries)).all() and np.abs(entries).max(initial=0.0) < 2**31:
            factor = float(max(1, np.gcd.reduce(entries.astype(np.int64))))
        largest = np.abs(entries).max() / factor
        while largest > _LARGEST_ENTRY:
            factor, largest = 2 * factor, largest / 2
        for each in every:
            each[curve] = each[curve] / factor
