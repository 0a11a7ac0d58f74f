"""Finite groups and how they act on arrays: the families by name, the user's own, and products.

A group lists all its elements where they are few, else generators: S₅₀ and the Rubik's cube
group are as usable as C₄.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from equibasis.errors import GroupError, SpaceError, cause, naming_extras
from equibasis.files import read_text
from equibasis.symmetry.spaces import Shape
from equibasis.symmetry.user_module import import_module

Transform: TypeAlias = Callable[[np.ndarray, Any], Any]

_FILE_ENDINGS = (".yaml", ".yml", ".json")

# A family lists its elements up to this many, and generators beyond.
_FEW = 1024


@dataclass(frozen=True)
class Group:
    """A finite group G, given by its linear action on arrays.

    Parameters
    ----------
    name
        What files and messages call the group.
    elements
        All elements of G, the identity first; or, with ``complete=False``, generators. Any
        hashable values; their ``str`` is their name.
    transform
        ``(array, element) -> array``: g · x, linear in x and keeping its shape. A function at
        the top level of a module can be sent to worker processes. ``None`` for a group of
        matrices, which acts on ``V`` alone.
    axes
        How many axes an array must have for the action to make sense; ``None`` for any number.
    complete
        Whether ``elements`` are all of G, or only generate it.
    linear
        ``(element, axes) -> matrix``: how vectors on a grid of so many axes turn, for the fields
        ``vector``, ``sign`` and ``regular``, and for ``V``.
    rearranges
        Whether the transform only moves entries of arrays, whatever they hold. Then one
        transform of the array of indices takes the place of one of each one-hot array.
    refuses
        ``shape -> reason`` why the group does not act on arrays of this shape, or ``None``; not
        needed for what shows in the shape of the transform.
    generators
        Elements that generate all others, where fewer than all are known to; large products use
        them.
    """

    name: str
    elements: tuple[Any, ...]
    transform: Transform | None
    axes: int | None = None
    complete: bool = True
    linear: Callable[[Any, int], np.ndarray] | None = None
    rearranges: bool = False
    refuses: Callable[[Shape], str | None] | None = field(default=None, repr=False)
    generators: tuple[Any, ...] | None = None

    def __post_init__(self) -> None:
        if not self.elements:
            raise GroupError(f"group {self.name!r} has no elements: list at least the identity")
        names = self.element_names
        for name in (self.name, *names):
            if not name:
                raise GroupError(f"group {self.name!r}: a name is empty")
            if not name.isprintable():
                raise GroupError(
                    f"group {self.name!r}: the name {name!r} has characters that do not print"
                )
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise GroupError(
                f"group {self.name!r} lists the element {twice} twice: give each its own name"
            )

    @property
    def element_names(self) -> tuple[str, ...]:
        """The names of the elements, or generators, in their order."""
        return tuple(str(element) for element in self.elements)


# --- moves of grids -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Move:
    """A symmetry of a grid: axes exchanged, then mirrored, then shifted in a circle.

    Attributes
    ----------
    name
        What it is called.
    axes
        The new axis d runs along the old axis ``axes[d]``.
    mirrored
        Which of the new axes then run backwards.
    shift
        By how many points each axis is rolled then.
    """

    name: str
    axes: tuple[int, ...]
    mirrored: tuple[bool, ...]
    shift: tuple[int, ...]

    def __str__(self) -> str:
        return self.name


def _move(array: np.ndarray, move: Move) -> np.ndarray:
    if not move.axes:
        return array
    array = array.transpose(move.axes)
    array = np.flip(array, tuple(axis for axis, flip in enumerate(move.mirrored) if flip))
    return np.roll(array, move.shift, range(array.ndim)) if any(move.shift) else array


def _move_matrix(move: Move, axes: int) -> np.ndarray:
    """How vectors turn: the signed permutation matrix of the axes, (axes, axes)."""
    matrix = np.zeros((axes, axes))
    for new, (old, mirrored) in enumerate(
        zip(move.axes or range(axes), move.mirrored or (False,) * axes, strict=True)
    ):
        matrix[new, old] = -1.0 if mirrored else 1.0
    return matrix


def _still(name: str, axes: int) -> Move:
    return Move(name, tuple(range(axes)), (False,) * axes, (0,) * axes)


def _quarter(name: str, turns: int, mirror: bool = False) -> Move:
    """Mirror left-right if asked, then turn counter-clockwise, as `numpy.rot90` does."""
    # Two-axis moves as (axes, mirrored): r90 exchanges the axes and mirrors the first.
    axes = ((0, 1), (1, 0), (0, 1), (1, 0))[turns]
    flips = ((False, False), (True, False), (True, True), (False, True))[turns]
    if mirror:  # flips the old second axis, wherever that lies now
        place = axes.index(1)
        flips = tuple(flip ^ (axis == place) for axis, flip in enumerate(flips))  # type: ignore
    return Move(name, axes, flips, (0, 0))


_ROTATIONS = tuple(_quarter(f"r{90 * turns}", turns) for turns in range(4))
_REFLECTIONS = tuple(_quarter(f"f{90 * turns}", turns, mirror=True) for turns in range(4))
_SHIFTS = (
    Move("s0", (0, 1), (False, False), (1, 0)),
    Move("s1", (0, 1), (False, False), (0, 1)),
)


def _cube_moves(reflections: bool) -> tuple[Move, ...]:
    """The 24 rotations of a cube, or all 48 symmetries, named by what becomes of the axes."""
    moves = []
    for axes in itertools.permutations(range(3)):
        even = _parity(axes)
        for mirrored in itertools.product((False, True), repeat=3):
            if reflections or (sum(mirrored) % 2 == 0) == even:
                name = "".join(
                    "+-"[flip] + "xyz"[axis] for axis, flip in zip(axes, mirrored, strict=True)
                )
                moves.append(Move(name, axes, mirrored, (0, 0, 0)))
    return tuple(moves)


def _parity(permutation: Sequence[int]) -> bool:
    pairs = itertools.combinations(permutation, 2)
    return sum(a > b for a, b in pairs) % 2 == 0


def _grid_group(name: str, moves: Iterable[Move], axes: int | None, **more: Any) -> Group:
    return Group(name, tuple(moves), _move, axes, linear=_move_matrix, rearranges=True, **more)


BUILT_IN = {
    group.name: group
    for group in (
        _grid_group("trivial", (Move("r0", (), (), ()),), None),
        _grid_group("c2", _ROTATIONS[::2], 2),
        _grid_group("c4", _ROTATIONS, 2, generators=_ROTATIONS[1:2]),
        _grid_group("d1", (_ROTATIONS[0], _REFLECTIONS[0]), 2),
        _grid_group("d2", _ROTATIONS[::2] + _REFLECTIONS[::2], 2),
        _grid_group(
            "d4",
            _ROTATIONS + _REFLECTIONS,
            2,
            generators=(_ROTATIONS[1], _REFLECTIONS[0]),
        ),
        _grid_group("p4", (_ROTATIONS[1], *_SHIFTS), 2, complete=False),
        _grid_group("p4m", (_ROTATIONS[1], _REFLECTIONS[0], *_SHIFTS), 2, complete=False),
        _grid_group("o", _cube_moves(reflections=False), 3),
        _grid_group("oh", _cube_moves(reflections=True), 3),
    )
}


def cyclic_group(order: int) -> Group:
    """``z{n}``: the shifts of a sequence in a circle; its length divides n."""
    name = f"z{order}"

    def refuses(shape: Shape) -> str | None:
        if order % shape[0]:
            return f"{order} shifts by one do not bring a sequence of {shape[0]} back to its start"
        return None

    listed = range(order) if order <= _FEW else (1,)
    moves = [Move(f"s{step}", (0,), (False,), (step,)) for step in listed]
    return _grid_group(
        name,
        moves,
        1,
        complete=order <= _FEW,
        refuses=refuses,
        generators=tuple(moves[1:2]) if order <= _FEW else None,
    )


# --- permutations of each axis ------------------------------------------------------------------


def permutation_group(name: str, generators: Mapping[str, Sequence[int]]) -> Group:
    """The group that some permutations of 0 to n-1 generate, acting on each axis of length n.

    Parameters
    ----------
    name
        What files and messages call the group.
    generators
        Images by name: the permutation sends i to ``images[i]``.

    Raises
    ------
    GroupError
        If one is not a permutation, or they are not all of one length.
    """
    if not generators:
        raise GroupError(f"group {name!r} has no generators: list at least the identity")
    degree = len(next(iter(generators.values())))
    inverses = {}
    for generator, images in generators.items():
        if degree < 1 or not all(
            isinstance(image, (int, np.integer)) and type(image) is not bool for image in images
        ):
            raise GroupError(f"group {name!r}: {generator} is not a list of whole numbers")
        if len(images) != degree:
            raise GroupError(
                f"group {name!r}: generators of unequal length: {generator} moves "
                f"{len(images)} points, the first moves {degree}"
            )
        if sorted(images) != list(range(degree)):
            raise GroupError(
                f"group {name!r}: {generator} is not a permutation of 0 to {degree - 1}: "
                f"{_first_fault(images, degree)}"
            )
        inverses[generator] = np.argsort(images)

    def transform(array: np.ndarray, generator: str) -> np.ndarray:
        for axis in range(array.ndim):
            array = array.take(inverses[generator], axis)
        return array

    def refuses(shape: Shape) -> str | None:
        wrong = [size for size in shape if size != degree]
        return f"its axes must have length {degree}, not {wrong[0]}" if wrong else None

    return Group(
        name,
        tuple(generators),
        transform,
        complete=False,
        rearranges=True,
        refuses=refuses,
    )


def _first_fault(images: Sequence[int], degree: int) -> str:
    seen: set[int] = set()
    for image in images:
        if not 0 <= image < degree:
            return f"{image} is out of range"
        if image in seen:
            return f"{image} comes twice"
        seen.add(image)
    return "it is no list of whole numbers"


def symmetric_group(degree: int) -> Group:
    """``s{n}``: all permutations of n points, from one exchange and one cycle."""
    points = list(range(degree))
    return permutation_group(
        f"s{degree}",
        {
            "swap": [*points[:2][::-1], *points[2:]],
            "cycle": [*points[1:], 0],
        },
    )


def read_permutation_group(path: str | Path) -> Group:
    """A permutation group from a YAML or JSON file with ``degree`` and ``generators``.

    ``generators`` is a list of lists of 0-based images, or a mapping from names to such lists.

    Raises
    ------
    GroupError
        If the file cannot be read, or does not hold permutations of that degree.
    """
    name = str(path)
    try:
        content = _parsed(Path(path))
    except OSError as error:
        raise GroupError(f"cannot read the group {name}: {cause(error)}") from error
    except (ValueError, RecursionError) as error:
        raise GroupError(f"cannot read the group {name}: {error}") from error
    if not isinstance(content, dict) or not {"degree", "generators"} <= set(content):
        raise GroupError(f"group {name}: the file needs the keys 'degree' and 'generators'")
    degree, generators = content["degree"], content["generators"]
    if isinstance(generators, list):
        generators = {f"g{number}": images for number, images in enumerate(generators)}
    if type(degree) is not int or degree < 1 or not isinstance(generators, dict):
        raise GroupError(
            f"group {name}: 'degree' is a number of points and 'generators' a list of lists"
        )
    for generator, images in generators.items():
        if not isinstance(images, list) or not all(type(image) is int for image in images):
            raise GroupError(f"group {name}: {generator} is not a list of whole numbers")
        if len(images) != degree:
            raise GroupError(
                f"group {name}: {generator} has {len(images)} images, but the degree is {degree}"
            )
    named = {str(generator): images for generator, images in generators.items()}
    if len(named) < len(generators):
        raise GroupError(f"group {name}: two generators have one name")
    return permutation_group(group_name(name), named)


def _parsed(path: Path) -> Any:
    """What a YAML or JSON file holds; raises `OSError` or `ValueError`."""
    text = read_text(path)
    if path.name.endswith(".json"):
        return json.loads(text)
    with naming_extras(f"group {path}: YAML"):
        import yaml
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(error) from error


def group_name(spec: str) -> str:
    """What a group found by ``spec`` is called: a file of generators by its name without ending."""
    return Path(spec).stem if spec.endswith(_FILE_ENDINGS) else spec


# --- matrices -----------------------------------------------------------------------------------


def matrix_group(name: str, generators: Mapping[str, Any] | Sequence[Any]) -> Group:
    """The finite group that some matrices generate, acting on ``V`` = R^n.

    Parameters
    ----------
    name
        What files and messages call the group.
    generators
        Invertible real matrices (n, n), in a list or by name.

    Raises
    ------
    GroupError
        If they are not square, invertible and of one size.
    """
    if not isinstance(generators, Mapping):
        generators = {f"g{number}": matrix for number, matrix in enumerate(generators)}
    if not generators:
        raise GroupError(f"group {name!r} has no generators: list at least the identity")
    matrices = {}
    for key, matrix in generators.items():
        try:
            matrices[str(key)] = np.array(matrix, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise GroupError(f"group {name!r}: {key} is no real matrix ({error})") from error
    size = next(iter(matrices.values())).shape[:1]
    for generator, matrix in matrices.items():
        if not size or size[0] < 1 or matrix.shape != size * 2:
            raise GroupError(
                f"group {name!r}: {generator} has shape {matrix.shape}; generators are square "
                "matrices of one size"
            )
        if not (np.isfinite(matrix).all() and np.linalg.cond(matrix) < 1e8):
            raise GroupError(f"group {name!r}: {generator} is not an invertible matrix")
    return Group(
        name,
        tuple(matrices),
        None,
        complete=False,
        linear=lambda generator, axes: matrices[generator],
    )


# --- direct products ----------------------------------------------------------------------------


def direct_product(*factors: Group) -> Group:
    """G₁ × G₂ × …, each factor acting on the axes that follow those of the one before.

    ``z14*z14`` shifts a torus of 14x14 points; ``c4*z3`` turns images and cycles their channels,
    ``14x14x3``.

    Raises
    ------
    GroupError
        If a factor does not say on how many axes it acts.
    """
    name = "*".join(group.name for group in factors)
    for group in factors:
        if group.axes is None or group.transform is None or not group.rearranges:
            raise GroupError(
                f"group {name!r}: {group.name} does not say on which axes it acts, so it makes no "
                "direct product"
            )
    # Where each factor's axes start; the last entry is their number.
    starts = [0, *itertools.accumulate(group.axes or 0 for group in factors)]
    order = math.prod(len(group.elements) for group in factors)
    complete = all(group.complete for group in factors) and order <= _FEW
    still: list[Any] = [_still("e", group.axes or 0) for group in factors]
    if complete:
        pairs = list(itertools.product(*(group.elements for group in factors)))
    else:
        pairs = [
            (*still[:place], element, *still[place + 1 :])
            for place, group in enumerate(factors)
            for element in _generators(group)
        ]
    moves = [_joined(pair, starts) for pair in pairs]

    def refuses(shape: Shape) -> str | None:
        for group, start, end in zip(factors, starts, starts[1:], strict=False):
            reason = group.refuses and group.refuses(shape[start:end])
            if reason:
                return reason
        return None

    return _grid_group(name, moves, starts[-1], complete=complete, refuses=refuses)


def _generators(group: Group) -> tuple[Any, ...]:
    if group.generators is not None:
        return group.generators
    return group.elements[1:] if group.complete else group.elements


def _joined(moves: Sequence[Move], starts: Sequence[int]) -> Move:
    return Move(
        ",".join(move.name for move in moves),
        tuple(
            axis + start for move, start in zip(moves, starts, strict=False) for axis in move.axes
        ),
        tuple(itertools.chain.from_iterable(move.mirrored for move in moves)),
        tuple(itertools.chain.from_iterable(move.shift for move in moves)),
    )


# --- by name ------------------------------------------------------------------------------------

_FAMILIES: dict[str, Callable[[int], Group]] = {"z": cyclic_group, "s": symmetric_group}

KNOWN = f"{', '.join(BUILT_IN)}, z{{n}}, s{{n}}"


def find_group(spec: str | Group) -> Group:
    """The group that ``spec`` names.

    A built-in one; ``z{n}`` or ``s{n}``; a direct product such as ``z14*z14``; a YAML or JSON
    file of generators; ``module:object``; or a `Group` itself. The object of a module is a
    `Group`, or anything with a ``transform`` and a list of ``elements``.

    Raises
    ------
    GroupError
        If there is no such group, module, object or file, or it is no group.
    """
    if isinstance(spec, Group):
        return spec
    if not isinstance(spec, str):
        raise GroupError(f"a group is a name, 'module:object' or a Group, not {spec!r}")
    if spec in BUILT_IN:
        return BUILT_IN[spec]
    if spec.endswith(_FILE_ENDINGS):
        return read_permutation_group(spec)
    module_name, colon, object_name = spec.partition(":")
    if colon and module_name and object_name:
        return _import_group(spec, module_name, object_name)
    if "*" in spec and all(spec.split("*")):
        return direct_product(*(find_group(name.strip()) for name in spec.split("*")))
    match = re.fullmatch(r"([a-z])([1-9]\d{0,5})", spec)
    if match and match[1] in _FAMILIES:
        return _FAMILIES[match[1]](int(match[2]))
    raise GroupError(
        f"unknown group {spec!r}: choose {KNOWN}, a product such as z14*z14, a YAML or JSON file "
        "of generators, or your own as module:object"
    )


def _import_group(spec: str, module_name: str, object_name: str) -> Group:
    try:
        module = import_module(module_name)
    except GroupError as error:
        raise GroupError(f"group {spec!r}: {error}") from error
    found = getattr(module, object_name, None)
    if found is None:
        raise GroupError(
            f"group {spec!r}: module {module_name!r} has no {object_name!r}; define it there "
            f"({getattr(module, '__file__', None) or 'in Python itself'}) as "
            "equibasis.Group(name, elements, transform)"
        )
    if isinstance(found, Group):
        return replace(found, name=spec)
    transform, elements = getattr(found, "transform", None), getattr(found, "elements", None)
    if not callable(transform) or not isinstance(elements, (tuple, list)):
        raise GroupError(
            f"group {spec!r}: the object needs a transform(array, element) and a list of "
            "elements, the identity first"
        )
    return Group(spec, tuple(elements), transform, getattr(found, "axes", None))


def check_fits(group: Group, shape: Shape) -> None:
    """Raise `SpaceError` if the group says that it does not act on arrays of this shape."""
    if group.transform is None:
        raise SpaceError(f"group {group.name!r} is one of matrices: it acts on V, not on arrays")
    if group.axes is not None and len(shape) != group.axes:
        raise SpaceError(
            f"group {group.name!r} acts on arrays of {group.axes} "
            f"{'axis' if group.axes == 1 else 'axes'}, not on {_text(shape)}"
        )
    reason = group.refuses(shape) if group.refuses else None
    if reason:
        raise SpaceError(f"group {group.name!r} does not act on {_text(shape)}: {reason}")


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "1"
