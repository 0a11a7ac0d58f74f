"""Exact bases: whole numbers read off floats, proved, and the canonical basis to the last bit."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy import sparse

import equibasis as eb
import exact_hashes
import lie_groups as lie
from equibasis.linalg.canonical import canonical_basis
from equibasis.linalg.double_double import DoubleDouble, inverse_factor
from equibasis.linalg.exact import annihilates, canonical_columns, integral_basis

SCRIPT = Path(exact_hashes.__file__)
PACKAGE = Path(eb.__file__).parents[1]
seeds = st.integers(0, 2**16)


# --- twice the precision --------------------------------------------------------------------------


def fractions(numbers: DoubleDouble) -> list[Fraction]:
    return [
        Fraction(float(high)) + Fraction(float(low))
        for high, low in zip(numbers.high.ravel(), numbers.low.ravel(), strict=True)
    ]


def at_random(seed: int, *shape: int) -> DoubleDouble:
    generator = np.random.RandomState(seed)
    high = generator.standard_normal(shape) * 2.0 ** generator.randint(-20, 20, shape)
    return DoubleDouble(high, high * generator.uniform(-0.4, 0.4, shape) * 2.0**-53)


@given(seeds)
def test_sums_products_quotients_and_roots_have_thirty_digits(seed):
    a, b = at_random(seed, 20), at_random(seed + 1, 20)
    for found, x, y, exactly in [
        (a + b, a, b, Fraction.__add__),
        (a - b, a, b, Fraction.__sub__),
        (a * b, a, b, Fraction.__mul__),
        (a / b, a, b, Fraction.__truediv__),
    ]:
        for value, one, other in zip(fractions(found), fractions(x), fractions(y), strict=True):
            error = abs(value - exactly(one, other))
            assert error <= Fraction(2) ** -98 * max(abs(value), abs(one), abs(other))
    square = a * a
    for value, root in zip(fractions(square), fractions(square.sqrt()), strict=True):
        assert abs(root * root - value) <= Fraction(2) ** -96 * value


@given(st.integers(1, 8), seeds)
def test_the_inverse_of_a_cholesky_factor_has_as_many(size, seed):
    generator = np.random.RandomState(seed)
    lower = np.tril(generator.randint(-3, 4, (size, size)), -1) + np.diag(
        generator.randint(1, 4, size)
    )
    inverse = inverse_factor(DoubleDouble.of(lower @ lower.T))
    np.testing.assert_array_equal(np.triu(inverse.high, 1), 0)
    one = np.reshape(fractions(inverse @ DoubleDouble.of(lower)), (size, size))
    error = np.abs(one - np.eye(size, dtype=int)).max()
    assert error <= Fraction(2) ** -90 * int(np.abs(inverse.high).max() + 1)


# --- bases of whole numbers -----------------------------------------------------------------------


def echelon(rows: int, rank: int, seed: int) -> np.ndarray:
    """A reduced echelon matrix of small whole numbers."""
    generator = np.random.RandomState(seed)
    found = generator.randint(-3, 4, (rows, rank)) * generator.randint(0, 2, (rows, rank))
    pivots = np.sort(generator.choice(rows, rank, replace=False))
    for column, pivot in enumerate(pivots):
        found[: pivot + 1, column] = 0
    found[pivots] = np.eye(rank, dtype=np.int64)
    return found.astype(np.int64)


@given(st.integers(1, 60), st.data(), seeds)
def test_an_integral_basis_is_read_off_any_basis_of_floats(rows, data, seed):
    rank = data.draw(st.integers(1, min(rows, 12)))
    exact = echelon(rows, rank, seed)
    mixed = exact @ np.random.RandomState(seed).standard_normal((rank, rank))
    np.testing.assert_array_equal(integral_basis(np.linalg.qr(mixed)[0]), exact)


def test_columns_of_fractions_are_made_whole():
    exact = np.array([[3, 0], [0, 7], [4, 2], [-1, 5]])
    mixed = exact @ np.array([[0.3, 1.1], [-2.0, 0.7]])
    np.testing.assert_array_equal(integral_basis(mixed), exact)


def test_no_integral_basis_is_found_where_there_is_none():
    assert integral_basis(np.array([[1.0], [np.sqrt(2)]])) is None
    assert integral_basis(np.array([[1.0, 0.0], [np.pi, 0.0], [0.0, 1.0]])) is None


def test_what_annihilates_is_proved_in_whole_numbers():
    one = sparse.csc_array(np.array([[1, -1, 0], [0, 2, -1]], dtype=np.int64))
    assert annihilates([one], np.array([[1], [1], [2]]))
    assert not annihilates([one], np.array([[1], [1], [3]]))
    huge = sparse.csc_array(np.array([[2**61, -(2**61)]], dtype=np.int64))
    assert not annihilates([huge], np.array([[1], [1]]))  # nobody can tell


@given(st.integers(1, 40), st.data(), seeds)
def test_columns_are_those_of_the_canonical_basis_but_for_rounding(rows, data, seed):
    exact = echelon(rows, data.draw(st.integers(1, min(rows, 10))), seed)
    Q = np.linalg.qr(exact.astype(float))[0]
    order = pivots(Q @ Q.T, len(Q.T))
    found = canonical_columns(exact, np.ones(rows, dtype=np.int64), np.array(order))
    expected = canonical_basis(sparse.csr_array(Q @ Q.T)).toarray()
    np.testing.assert_allclose(found[:, np.argsort(order)], expected, atol=1e-12)


def pivots(projector: np.ndarray, rank: int) -> list[int]:
    """By the definition: the largest of what is left, ties to the lowest index."""
    left, order = projector.copy(), []
    for _ in range(rank):
        diagonal = left.diagonal()
        pivot = int(np.argmax(diagonal >= diagonal.max() - 1e-9))
        column = left[:, pivot] / np.sqrt(left[pivot, pivot])
        left = left - np.outer(column, column)
        order.append(pivot)
    return order


def test_each_entry_is_the_exact_one_rounded_once():
    """The span of (1, 0, -2) and (0, 1, 3): first (-2, 3, 13) / √182, then (3, 2, 0) / √13."""
    exact = np.array([[1, 0], [0, 1], [-2, 3]])
    found = canonical_columns(exact, np.ones(3, dtype=np.int64), np.array([2, 1]))
    assert abs(found[2, 1]) < 1e-28
    entries = [*found[:, 0].tolist(), *found[:2, 1].tolist()]
    expected = [(-2, 182), (3, 182), (13, 182), (3, 13), (2, 13)]
    for entry, (numerator, square) in zip(entries, expected, strict=True):
        assert np.sign(entry) == np.sign(numerator)
        below, above = (
            (Fraction(abs(entry)) + Fraction(float(np.nextafter(abs(entry), way)))) / 2
            for way in (0, 2)
        )
        assert below**2 <= Fraction(numerator**2, square) <= above**2


def test_rows_may_have_square_roots_for_units():
    """The line of (√2, √3) is 1 and 1 in units of these."""
    found = canonical_columns(np.array([[1], [1]]), np.array([2, 3]), np.array([1]))
    np.testing.assert_array_equal(found[:, 0], [np.sqrt(0.4), np.sqrt(0.6)])


# --- in the solver --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", exact_hashes.PROBLEMS)
def test_bases_of_groups_of_fractions_are_equivariant_to_the_last_bit(name):
    algebra, discrete, exponent = exact_hashes.PROBLEMS[name]
    space = f"V**{exponent}"
    basis = eb.solve(lie.group(algebra, *discrete), input=space, output=space)
    assert basis.checks.equivariance_error <= 1e-16
    checks = eb.verify_basis(basis)
    assert checks == basis.checks


ROOTS = {
    "symmetric squares": ("sym(V,2)", "V**2 + sym(V,2)"),
    "symmetric cubes": ("sym(V,3)", "sym(V,3) + alt(V,2)*V"),
    "symmetric fourth powers": ("sym(V,4)", "sym(V,4)"),
}


@pytest.mark.parametrize(("source", "target"), ROOTS.values(), ids=list(ROOTS))
@pytest.mark.parametrize(
    "algebra", [lie.so(3), lie.so(1, 2), lie.sl(3)], ids=["so3", "so12", "sl3"]
)
def test_square_roots_of_fractions_leave_no_rounding_either(algebra, source, target):
    basis = eb.solve(lie.group(algebra), input=source, output=target)
    assert basis.rank > 0
    assert basis.checks.equivariance_error <= 1e-16


def test_the_adjoint_representation_of_su3_in_the_basis_of_gell_mann():
    basis = eb.solve(lie.group(lie.su3_adjoint()), input="V**2", output="V**2")
    assert basis.rank == 8
    assert basis.checks.equivariance_error <= 1e-16


def test_bases_of_other_groups_are_equivariant_within_rounding():
    skewed = lie.in_basis(lie.so(3), np.eye(3) + 0.3 * np.random.RandomState(0).rand(3, 3))
    basis = eb.solve(lie.group(skewed), input="V**2", output="V**2")
    assert basis.rank == 3
    assert 0 < basis.checks.equivariance_error < 1e-12


# --- bytes ----------------------------------------------------------------------------------------


def printed(**environment: str) -> str:
    """What the script prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT)],
        env=os.environ | {"PYTHONPATH": str(PACKAGE)} | environment,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_neither_threads_nor_the_kernels_of_an_older_processor_change_a_bit():
    variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    older = {"OPENBLAS_CORETYPE": "Prescott"} if platform.machine() == "x86_64" else {}
    expected = [f"{digest} {name}" for name, digest in exact_hashes.hashes().items()]
    assert printed(**dict.fromkeys(variables, "2"), **older).splitlines() == expected
