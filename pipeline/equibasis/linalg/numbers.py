"""Numbers that users give, checked at the border: what NumPy would cast without a word is refused.

Whole numbers are ints, Python's, NumPy's or of a tensor; never floats, booleans or text. Real
numbers are ints that float64 holds exactly, and floats; never booleans, complex numbers or text.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from equibasis.errors import EquibasisError

# From here on not every whole number is a float64.
_MOST_EXACT = 2**53

# Why an array of some kind (`numpy.dtype.kind`) is not one of real numbers.
_NOT_REAL = {
    "c": "complex numbers, and a basis is real: give the real form of M, "
    "numpy.block([[M.real, -M.imag], [M.imag, M.real]])",
    "b": "booleans: write 0 and 1",
    "O": "objects that are no numbers of NumPy: give floats",
    "U": "text: give numbers",
    "S": "text: give numbers",
}


def real_array(value: Any, what: str, error: type[EquibasisError] = EquibasisError) -> np.ndarray:
    """Return a float64 copy of real numbers that a user gave: an array, nested lists, a tensor.

    Parameters
    ----------
    value
        What was given.
    what
        The subject of the message, such as ``"group 'c4': r90"``.
    error
        The class to raise.

    Raises
    ------
    EquibasisError
        If it holds complex numbers, booleans, text, objects, NaN, infinity or ints that float64
        would round, or is ragged, masked or sparse.
    """
    if type(value) is np.ndarray:
        return _as_real(value, what, error)
    if sparse.issparse(value):
        raise error(f"{what} is a sparse matrix: give its toarray()")
    if isinstance(value, np.ma.MaskedArray):
        raise error(f"{what} is masked, and what is masked has no value: give its filled(...)")
    try:
        if isinstance(value, (list, tuple)):  # NumPy would make one type of what is in it
            value = [
                part if type(part) is float else real_array(part, what, error) for part in value
            ]
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError, RecursionError) as reason:  # ragged; a far tensor
        if hasattr(value, "detach"):
            raise error(
                f"{what} is a tensor that NumPy does not take as it is: give its "
                f".detach().cpu().double().numpy() ({reason})"
            ) from reason
        raise error(f"{what} is no array of real numbers: {reason}") from reason
    return _as_real(array, what, error)


def _as_real(array: np.ndarray, what: str, error: type[EquibasisError]) -> np.ndarray:
    kind = array.dtype.kind
    if kind not in "iuf":
        raise error(f"{what} holds {_NOT_REAL.get(kind, f'{array.dtype}: give floats')}")
    if kind in "iu":
        if array.size and not _is_exact(array):
            raise error(f"{what} holds whole numbers beyond 2**53, which float64 would round")
        return array.astype(np.float64)
    if array.dtype.itemsize > 8:
        with np.errstate(over="ignore"):  # what is beyond float64 is infinity, refused below
            array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise error(f"{what} holds NaN or infinity")
    return array.astype(np.float64)


def _is_exact(array: np.ndarray) -> bool:
    return -_MOST_EXACT <= int(array.min()) and int(array.max()) <= _MOST_EXACT


def whole_number(
    value: Any,
    what: str,
    *,
    least: int | None = None,
    most: int | None = None,
    error: type[EquibasisError] = EquibasisError,
) -> int:
    """Return an int that a user gave, within bounds.

    Raises
    ------
    EquibasisError
        If it is no whole number (a boolean or a float such as 3.0 is none), too small or too large.
    """
    number = as_index(value)
    if number is None:
        raise error(f"{what} must be a whole number, not {shortened(value)}")
    if least is not None and number < least:
        raise error(f"{what} must be at least {least:,}, not {shortened(number)}")
    if most is not None and number > most:
        raise error(f"{what} must be at most {most:,}, not {shortened(number)}")
    return number


def whole_numbers(
    values: Any, what: str, error: type[EquibasisError] = EquibasisError
) -> tuple[int, ...]:
    """Return the ints of a list, a tuple, a range or a one-dimensional array that a user gave.

    Raises
    ------
    EquibasisError
        If it is something else (a set has no order, text no numbers), or one is no whole number.
    """
    if isinstance(values, np.ma.MaskedArray):
        raise error(f"{what} is masked, and what is masked has no value: give its filled(...)")
    if hasattr(values, "__array__") and not isinstance(values, Sequence):
        values = _listed(values)
    if not isinstance(values, Sequence) or isinstance(values, (str, bytes, bytearray)):
        raise error(f"{what} is not a list of whole numbers")
    numbers = []
    for value in values:
        number = as_index(value)
        if number is None:
            raise error(f"{what} is not a list of whole numbers: it holds {shortened(value)}")
        numbers.append(number)
    return tuple(numbers)


def _listed(array: Any) -> list[Any] | None:
    try:
        listed = np.asarray(array).tolist()
    except Exception:  # a tensor that is not here
        return None
    return listed if isinstance(listed, list) else None


def as_index(value: Any) -> int | None:
    """Return the int that a value is; ``None`` where it is none, as for booleans of any library."""
    if isinstance(value, (bool, np.bool_)) or "bool" in str(getattr(value, "dtype", "")):
        return None
    try:
        return operator.index(value)
    except Exception:  # TypeError, and what tensors of several numbers raise
        return None


def shortened(value: Any) -> str:
    """Return a value in at most 40 characters, for messages."""
    try:
        text = repr(value)
    except ValueError:  # an int of more digits than Python prints
        return "of thousands of digits"
    return text if len(text) <= 40 else f"{text[:37]}..."


def counted(number: int, noun: str) -> str:
    """Return a number of things in words: ``"1 element"``, ``"1,344 elements"``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
