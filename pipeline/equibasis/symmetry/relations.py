"""Whether several representations are of one group: what holds in one has to hold in all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from equibasis.errors import GroupError
from equibasis.symmetry.constructions import algebra_part, discrete_part
from equibasis.symmetry.listing import MOST_ELEMENTS
from equibasis.symmetry.representations import TOLERANCE, Representation

# Numbers that are kept while words are compared; beyond, those met so far have to do.
_MOST_NUMBERS = 2**25

# A relation that holds to this, and not to `TOLERANCE`, is meant: its matrices were rounded.
_ROUNDED = 1e-3

# The largest Lie algebra whose brackets are compared.
_MOST_BRACKETS = 400


@dataclass(frozen=True, eq=False)
class _Known:
    """An element, or an algebra element: how it was made, and its matrix in each representation."""

    word: str
    matrices: Mapping[str, np.ndarray]


def check_relations(
    name: str, names: Sequence[str], representations: Mapping[str, Representation], faithful: str
) -> None:
    """Check that what holds in one representation holds in all others.

    Words of discrete elements that are equal in the faithful representation, and linear relations
    among the algebra, its brackets and its conjugates by discrete elements.

    Parameters
    ----------
    name
        Of the group.
    names
        Of the elements that each representation lists, those of the algebra last.
    representations, faithful
        By name, and the one whose relations have to hold.

    Raises
    ------
    GroupError
        Naming the relation that does not hold, and where.
    """
    if len(representations) == 1:
        return
    count = max(len(rho.algebra) for rho in representations.values())
    parts = {
        key: [*discrete_part(rho, count), *(a.toarray() for a in algebra_part(rho, count))]
        for key, rho in representations.items()
    }
    listed = [
        _Known(word, {key: matrices[number] for key, matrices in parts.items()})
        for number, word in enumerate(names)
    ]
    generators, curves = listed[: len(names) - count], listed[len(names) - count :]
    if generators:
        _check_words(name, generators, faithful)
    _check_brackets(name, generators, curves, faithful)


def _check_words(name: str, generators: Sequence[_Known], faithful: str) -> None:
    one = _Known("e", {key: np.eye(len(m)) for key, m in generators[0].matrices.items()})
    known = {_key(one.matrices[faithful]): one}
    numbers = sum(matrix.size for matrix in one.matrices.values())
    most = min(MOST_ELEMENTS, max(64, _MOST_NUMBERS // numbers))
    queue = [one]
    for element in queue:  # grows while it is walked: breadth first
        for generator in generators:
            product = _Known(
                generator.word if element is one else f"{generator.word} {element.word}",
                {key: m @ element.matrices[key] for key, m in generator.matrices.items()},
            )
            key = _key(product.matrices[faithful])
            if key not in known:
                if len(known) >= most:
                    return
                known[key] = product
                queue.append(product)
                continue
            expected = known[key].matrices
            _compare(name, faithful, f"{product.word} = {known[key].word}", product, expected)


def _key(matrix: np.ndarray) -> bytes:
    return (np.rint(1e6 * matrix).astype(np.int64)).tobytes()


def _check_brackets(
    name: str, generators: Sequence[_Known], curves: Sequence[_Known], faithful: str
) -> None:
    basis: list[_Known] = []
    for curve in curves:
        _place(name, faithful, basis, curve)
    for position, one in enumerate(basis):  # grows while it is walked
        for generator in generators:
            moved = {
                key: h @ one.matrices[key] @ np.linalg.inv(h)
                for key, h in generator.matrices.items()
            }
            word = f"{generator.word} {one.word} {generator.word}⁻¹"
            _place(name, faithful, basis, _Known(word, moved))
        for other in basis[:position]:
            bracket = {
                key: a @ other.matrices[key] - other.matrices[key] @ a
                for key, a in one.matrices.items()
            }
            _place(name, faithful, basis, _Known(f"[{one.word}, {other.word}]", bracket))
        if len(basis) > _MOST_BRACKETS:
            return


def _place(name: str, faithful: str, basis: list[_Known], new: _Known) -> None:
    """Add an algebra element to the basis, or hold it to the relation that it is of the others."""
    target = new.matrices[faithful].ravel()
    columns = np.reshape([each.matrices[faithful] for each in basis], (-1, len(target))).T
    coefficients = np.linalg.lstsq(columns, target, rcond=None)[0]
    left = target - columns @ coefficients
    if np.abs(left).max(initial=0.0) > 1e-8 * max(1.0, np.abs(target).max(initial=0.0)):
        basis.append(new)
        return
    terms = [(c, each) for c, each in zip(coefficients, basis, strict=True) if abs(c) > TOLERANCE]
    told = " + ".join(f"{_number(c)}{each.word}" for c, each in terms)
    expected = {
        key: sum((c * each.matrices[key] for c, each in terms), np.zeros_like(matrix))
        for key, matrix in new.matrices.items()
    }
    _compare(name, faithful, f"{new.word} = {told or '0'}", new, expected)


def _number(value: float) -> str:
    return "" if abs(value - 1) < TOLERANCE else f"{value:.3g} "


def _compare(
    name: str, faithful: str, relation: str, found: _Known, expected: Mapping[str, np.ndarray]
) -> None:
    for key, matrix in found.matrices.items():
        off = float(np.abs(matrix - expected[key]).max())
        size = max(1.0, float(np.abs(matrix).max()))
        if TOLERANCE * size < off < _ROUNDED * size:
            raise GroupError(
                f"group {name!r}: matrices of {key!r} are not exact enough: {relation} holds only "
                f"to {off:.1g}; give them in float64, such as np.cos(2*np.pi/3)"
            )
        if off > TOLERANCE * size:
            raise GroupError(
                f"group {name!r}: {faithful!r} and {key!r} are not of one group: {relation} in "
                f"{faithful!r}, but not in {key!r} (off by {off:.2g}); mend the matrices, or say "
                "faithful=None"
            )
