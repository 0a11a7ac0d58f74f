"""Hashes of exact bases, printed by `test_exact` in processes whose BLAS computes otherwise."""

from __future__ import annotations

import hashlib

import equibasis as eb
import lie_groups as lie

PROBLEMS = {
    "SO(3)": (lie.so(3), [], 3),
    "O(1,3)": (lie.so(1, 3), [-lie.reflection(4), lie.reflection(4, 0)], 3),
    "O(5)": (lie.so(5), [lie.reflection(5, 0)], 2),
    "SU(2)": (lie.su(2), [], 2),
    "U(2)": (lie.u(2), [], 2),
    "SL(2)": (lie.sl(2), [], 5),
    "SL(3)": (lie.sl(3), [], 4),
    "Sp(4)": (lie.sp(4), [], 3),
}


def hashes() -> dict[str, str]:
    """The SHA-256 of the entries of each basis."""
    found = {}
    for name, (algebra, discrete, exponent) in PROBLEMS.items():
        space = f"V**{exponent}"
        basis = eb.solve(lie.group(algebra, *discrete), input=space, output=space)
        found[name] = hashlib.sha256(basis.tables[0][0].values.tobytes()).hexdigest()
    return found


if __name__ == "__main__":
    for name, digest in hashes().items():
        print(digest, name)
