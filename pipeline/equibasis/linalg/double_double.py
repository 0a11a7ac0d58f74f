"""Arrays of numbers of twice the precision of float64, each the sum of two of them.

All is done by additions, products, quotients and square roots of float64, element by element, which
IEEE 754 rounds in one way: results are the same bits on every machine, whatever its BLAS.

Source: Dekker, *A floating-point technique for extending the available precision*, Numer. Math. 18
(1971).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

# Splits a float64 into two halves of 26 bits each.
_SPLITTER = 2.0**27 + 1


@dataclass(frozen=True, eq=False)
class DoubleDouble:
    """An array of numbers high + low, about 32 digits each.

    Attributes
    ----------
    high, low
        float64 of one shape; ``low`` is at most half a unit in the last place of ``high``.
    """

    high: np.ndarray
    low: np.ndarray

    @staticmethod
    def of(numbers: ArrayLike) -> DoubleDouble:
        """Numbers that float64 holds exactly."""
        high = np.array(numbers, dtype=np.float64)
        return DoubleDouble(high, np.zeros_like(high))

    @property
    def transposed(self) -> DoubleDouble:
        """The transposed matrix."""
        return DoubleDouble(self.high.T, self.low.T)

    def __getitem__(self, key: Any) -> DoubleDouble:
        return DoubleDouble(self.high[key], self.low[key])

    def put(self, key: Any, value: DoubleDouble) -> None:
        """Write into the arrays."""
        self.high[key], self.low[key] = value.high, value.low

    def __add__(self, other: DoubleDouble) -> DoubleDouble:
        total, error = _sum(self.high, other.high)
        return _normalized(total, error + (self.low + other.low))

    def __sub__(self, other: DoubleDouble) -> DoubleDouble:
        total, error = _sum(self.high, -other.high)
        return _normalized(total, error + (self.low - other.low))

    def __mul__(self, other: DoubleDouble) -> DoubleDouble:
        product, error = _product(self.high, other.high)
        return _normalized(product, error + (self.high * other.low + self.low * other.high))

    def __truediv__(self, other: DoubleDouble) -> DoubleDouble:
        first = DoubleDouble.of(self.high / other.high)
        left = self - first * other
        second = DoubleDouble.of(left.high / other.high)
        left = left - second * other
        return first + second + DoubleDouble.of(left.high / other.high)

    def sqrt(self) -> DoubleDouble:
        """Return the square root."""
        root = DoubleDouble.of(np.sqrt(self.high))
        left = self - root * root
        return root + DoubleDouble.of(left.high / (2 * root.high))

    def __matmul__(self, other: DoubleDouble) -> DoubleDouble:
        total = self[:, :1] * other[:1]
        for k in range(1, len(other.high)):
            total = total + self[:, k : k + 1] * other[k : k + 1]
        return total

    def rounded(self) -> np.ndarray:
        """Return the nearest float64."""
        nearest: np.ndarray = self.high + self.low
        return nearest


def inverse_factor(matrix: DoubleDouble) -> DoubleDouble:
    """R⁻¹, lower triangular, for symmetric positive definite A = R Rᵀ (r, r).

    By elimination, in place: from A beside the identity comes √D Rᵀ beside √D R⁻¹, D the pivots.
    """
    left = DoubleDouble(matrix.high.copy(), matrix.low.copy())
    for k in range(len(left.high)):
        pivot, row = left[k, k], left[k : k + 1]
        factors = left[k + 1 :, k : k + 1] / pivot
        row.put((0, k), DoubleDouble.of(1.0))
        left.put(np.s_[k + 1 :, k], DoubleDouble.of(0.0))
        left.put(np.s_[k + 1 :], left[k + 1 :] - factors * row)
        left.put(k, left[k] / pivot.sqrt())
    return DoubleDouble(np.tril(left.high), np.tril(left.low))


def _normalized(high: np.ndarray, low: np.ndarray) -> DoubleDouble:
    total = high + low
    return DoubleDouble(total, low - (total - high))


def _sum(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a + b and what rounding took of it, exactly."""
    total = a + b
    of_b = total - a
    return total, (a - (total - of_b)) + (b - of_b)


def _product(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a b and what rounding took of it, exactly."""
    product = a * b
    (a_high, a_low), (b_high, b_low) = _halves(a), _halves(b)
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def _halves(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scaled = _SPLITTER * a
    high = scaled - (scaled - a)
    return high, a - high
