"""The elements that generators make, found by what they do to a few vectors."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from equibasis.errors import GroupError, TooManyElementsError
from equibasis.symmetry.assembled import factors_of, tensor_product
from equibasis.symmetry.closure import TOO_NEAR, Elements
from equibasis.symmetry.pair_orbits import numbered, orbit_leaders
from equibasis.symmetry.representations import (
    TOLERANCE,
    MatrixRepresentation,
    PermutationRepresentation,
    Representation,
)

# Generators that make more elements than this are not listed: the group is too large, or infinite.
MOST_ELEMENTS = 20_000
_MOST_BYTES = 2**30


@dataclass(frozen=True, eq=False)
class Words:
    """Elements as words in generators, breadth first, the identity first.

    Attributes
    ----------
    names
        Products of names of generators, ``e`` for the identity.
    generator, parent
        Element i is generator ``generator[i]`` times element ``parent[i]``; -1 for the identity.
    products
        Which element each generator times each element is, int64 (generators, elements).
    """

    names: tuple[str, ...]
    generator: np.ndarray
    parent: np.ndarray
    products: np.ndarray

    @property
    def regular(self) -> PermutationRepresentation:
        """How generators permute the elements: ρ(g) e_h = e_{gh}."""
        return PermutationRepresentation(np.argsort(self.products, axis=1))

    def matrix(self, rho: Representation, element: int) -> np.ndarray:
        """ρ of an element, multiplied along its word, float64 (n, n)."""
        letters = []
        while element:
            letters.append(int(self.generator[element]))
            element = int(self.parent[element])
        product = np.eye(rho.dimension)
        for g in reversed(letters):
            product = rho.apply(g, product)
        return product


def words(
    name: str, where: str, generators: Sequence[str], *representations: Representation
) -> Words:
    """Every element that generators make.

    Raises
    ------
    TooManyElementsError
        If they generate more than `MOST_ELEMENTS`.
    GroupError
        If their matrices do not generate a finite group.
    """
    known = Elements(representations)
    each = 16 * sum(rho.dimension for rho in representations)
    most = min(MOST_ELEMENTS, int(_MOST_BYTES / each) + 1)
    sent = [known.probes]
    names, by, parent = ["e"], [-1], [-1]
    products: list[int] = []
    for position, vectors in enumerate(sent):  # grows while it is walked: breadth first
        for g, generator in enumerate(generators):
            moved = known.apply(g, vectors)
            number, new = known.number(moved)
            products.append(number)
            if not new:
                continue
            if len(sent) >= most:
                raise TooManyElementsError(_too_many(name, where, most))
            sent.append(moved)
            names.append(generator if position == 0 else f"{generator} {names[position]}")
            by.append(g)
            parent.append(position)
    table = np.array(products, dtype=np.int64).reshape(len(names), -1).T
    return Words(tuple(names), np.array(by), np.array(parent), table)


def _too_many(name: str, where: str, most: int) -> str:
    return (
        f"the generators of {name!r} make more than {most:,} elements on {where}, or infinitely "
        "many: for permutations, use --solver orbits; of matrices, check the angles"
    )


def list_elements(
    name: str, where: str, generators: Sequence[str], *representations: Representation
) -> tuple[tuple[str, ...], tuple[Representation, ...]]:
    """Every element that generators make, and each representation with all of them listed.

    Raises
    ------
    TooManyElementsError
        If they generate more than `MOST_ELEMENTS`, or their matrices do not fit.
    GroupError
        If their matrices do not generate a finite group.
    """
    found = words(name, where, generators, *representations)
    count = len(found.names)
    bytes_each = sum(map(_bytes_an_element, representations))
    if count * bytes_each > _MOST_BYTES:
        raise TooManyElementsError(_too_many(name, where, int(_MOST_BYTES / bytes_each) + 1))
    return found.names, tuple(_multiplied(rho, found) for rho in representations)


def _bytes_an_element(rho: Representation) -> int:
    if len(factors_of(rho)) > 1:
        return sum(map(_bytes_an_element, factors_of(rho)))
    n = rho.dimension
    return 17 * n if isinstance(rho, PermutationRepresentation) else 8 * n**2


def _multiplied(rho: Representation, found: Words) -> Representation:
    """ρ of all elements, each a generator times one before it."""
    if len(factors_of(rho)) > 1:
        factors = (_multiplied(each, found) for each in factors_of(rho))
        return functools.reduce(tensor_product, factors)
    # A (signed) permutation moves the numbers 1 to n, as ρ(g) moves x.
    permuted = isinstance(rho, PermutationRepresentation)
    one = np.arange(1, rho.dimension + 1) if permuted else np.eye(rho.dimension)
    every = np.empty((len(found.names), *one.shape), dtype=one.dtype)
    every[0] = one
    for i in range(1, len(every)):
        every[i] = rho.apply(int(found.generator[i]), every[found.parent[i]])
    if permuted:
        return PermutationRepresentation(np.abs(every) - 1, np.sign(every).astype(np.int8))
    return MatrixRepresentation(every)


@dataclass(frozen=True, eq=False)
class ClassCharacters:
    """Characters by conjugacy class.

    Attributes
    ----------
    sizes
        How many elements each class has, int64 (C,).
    traces
        tr ρ(g) for one g of each, of each representation: float64 (representations, C).
    """

    sizes: np.ndarray
    traces: np.ndarray

    def product(self, first: int, second: int) -> int:
        """1/|G| Σ |class| tr ρ₁ tr ρ₂ of two representations: dim Hom_G between them.

        Raises `GroupError` if it is no whole number.
        """
        of_classes = self.sizes * self.traces[first] * self.traces[second]
        mean = float(of_classes.sum() / self.sizes.sum())
        if abs(mean - round(mean)) > 1e-6:
            raise GroupError(f"the mean of the characters, {mean:.6g}, is no whole number")
        return round(mean)


def conjugacy_classes(
    name: str, where: str, generators: Sequence[str], *representations: Representation
) -> tuple[Words, np.ndarray]:
    """Every element that generators make, and the class of each, numbered as they first occur.

    Raises
    ------
    TooManyElementsError
        If there are more than `MOST_ELEMENTS`.
    GroupError
        If their matrices do not generate a finite group.
    """
    found = words(name, where, generators, *representations)
    left, by, parent = (each.tolist() for each in (found.products, found.generator, found.parent))
    images = []
    for moves in left:
        # Of g h g⁻¹: first h g⁻¹ along the word of h, from g⁻¹ on, then g.
        after = [moves.index(0)]
        for i in range(1, len(moves)):
            after.append(left[by[i]][after[parent[i]]])
        images.append(np.array(moves)[after])
    return found, numbered(orbit_leaders(images))


def has_finite_order(matrices: Sequence[sparse.csr_array]) -> bool:
    """Whether one of the first `MOST_ELEMENTS` powers of some matrices, jointly, is the identity.

    All eigenvalues of that power are 1, and it is diagonalizable.
    """
    dense = [matrix.toarray() for matrix in matrices]
    values = np.concatenate([np.linalg.eigvals(matrix) for matrix in dense])
    if np.abs(np.abs(values) - 1).max() > TOO_NEAR:
        return False
    exponents = np.arange(1, MOST_ELEMENTS + 1)
    turns = np.angle(np.unique(np.round(values, 9)))[:, None] * exponents / (2 * np.pi)
    (found,) = np.nonzero((np.abs(turns - np.rint(turns)) < TOLERANCE * exponents).all(axis=0))
    if not len(found):
        return False
    powers = [np.linalg.matrix_power(matrix, int(exponents[found[0]])) for matrix in dense]
    return all(np.abs(power - np.eye(len(power))).max() < TOO_NEAR for power in powers)
