"""Whether several representations are of one group: what holds in one has to hold in all."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

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


# Matrices in each representation, the faithful one first.
Matrices: TypeAlias = list[np.ndarray]


@dataclass(frozen=True, eq=False)
class _Known:
    """An element, or an algebra element: how it was made, and its matrices."""

    word: str
    matrices: Matrices


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
    keys = sorted(representations, key=lambda key: key != faithful)
    parts = [
        [*discrete_part(rho, count), *(a.toarray() for a in algebra_part(rho, count))]
        for rho in (representations[key] for key in keys)
    ]
    listed = [
        _Known(*each) for each in zip(names, map(list, zip(*parts, strict=True)), strict=True)
    ]
    generators, curves = listed[: len(names) - count], listed[len(names) - count :]
    relations = itertools.chain(_equal_words(generators), _linear_relations(generators, curves))
    for relation, found, expected in relations:
        for key, matrix, wanted in zip(keys, found, expected, strict=True):
            off = float(np.abs(matrix - wanted).max())
            size = max(1.0, float(np.abs(matrix).max()))
            if TOLERANCE * size < off < _ROUNDED * size:
                raise GroupError(
                    f"group {name!r}: matrices of {key!r} are not exact enough: {relation} holds "
                    f"only to {off:.1g}; give them in float64, such as np.cos(2*np.pi/3)"
                )
            if off > TOLERANCE * size:
                raise GroupError(
                    f"group {name!r}: {faithful!r} and {key!r} are not of one group: {relation} in "
                    f"{faithful!r}, but not in {key!r} (off by {off:.2g}); mend the matrices, or "
                    "say faithful=None"
                )


def _equal_words(generators: Sequence[_Known]) -> Iterator[tuple[str, Matrices, Matrices]]:
    """Words that are equal in the faithful representation: how they are written, and both."""
    if not generators:
        return
    one = _Known("e", [np.eye(len(matrix)) for matrix in generators[0].matrices])
    known = {_key(one): one}
    most = min(MOST_ELEMENTS, max(64, _MOST_NUMBERS // sum(each.size for each in one.matrices)))
    queue = [one]
    for element in queue:  # grows while it is walked: breadth first
        for generator in generators:
            word = generator.word if element is one else f"{generator.word} {element.word}"
            both = zip(generator.matrices, element.matrices, strict=True)
            product = _Known(word, [h @ g for h, g in both])
            same = known.setdefault(_key(product), product)
            if same is not product:
                yield f"{word} = {same.word}", product.matrices, same.matrices
            elif len(known) > most:
                return
            else:
                queue.append(product)


def _key(element: _Known) -> bytes:
    return (np.rint(1e6 * element.matrices[0]).astype(np.int64)).tobytes()


def _linear_relations(
    generators: Sequence[_Known], curves: Sequence[_Known]
) -> Iterator[tuple[str, Matrices, Matrices]]:
    """Algebra elements that are combinations of others in the faithful representation."""
    basis: list[_Known] = []
    for new in _algebra(generators, curves, basis):
        target = new.matrices[0].ravel()
        columns = np.reshape([each.matrices[0] for each in basis], (-1, len(target))).T
        coefficients = np.linalg.lstsq(columns, target, rcond=None)[0]
        left = target - columns @ coefficients
        if np.abs(left).max(initial=0.0) > 1e-8 * max(1.0, np.abs(target).max(initial=0.0)):
            basis.append(new)
            continue
        pairs = zip(coefficients, basis, strict=True)
        terms = [(c, each) for c, each in pairs if abs(c) > TOLERANCE]
        told = " + ".join(f"{_number(c)}{each.word}" for c, each in terms)
        expected = [
            sum((c * each.matrices[rho] for c, each in terms), np.zeros_like(matrix))
            for rho, matrix in enumerate(new.matrices)
        ]
        yield f"{new.word} = {told or '0'}", new.matrices, expected


def _algebra(
    generators: Sequence[_Known], curves: Sequence[_Known], basis: Sequence[_Known]
) -> Iterator[_Known]:
    """Yield the elements given; of a basis, which grows meanwhile, conjugates and brackets."""
    yield from curves
    for position, one in enumerate(basis):
        for h in generators:
            both = zip(h.matrices, one.matrices, strict=True)
            conjugate = [m @ a @ np.linalg.inv(m) for m, a in both]
            yield _Known(f"{h.word} {one.word} {h.word}⁻¹", conjugate)
        for other in basis[:position]:
            bracket = [a @ b - b @ a for a, b in zip(one.matrices, other.matrices, strict=True)]
            yield _Known(f"[{one.word}, {other.word}]", bracket)
        if len(basis) > _MOST_BRACKETS:
            return


def _number(value: float) -> str:
    return "" if abs(value - 1) < TOLERANCE else f"{value:.3g} "
