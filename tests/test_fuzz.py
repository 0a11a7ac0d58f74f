"""Hundreds of mutated basis files: none crashes, hangs, fills the memory or is believed.

A sample: `make fuzz` tries as many as there is time for.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fuzz

pytestmark = pytest.mark.skipif(os.name != "posix", reason="waits for pipes as POSIX does")

COUNT = 250


def test_each_of_hundreds_of_mutations_is_refused_or_the_same_basis(record_property):
    report = fuzz.run(COUNT)
    record_property("summary", str(report))
    assert report.wrong == []
    assert report.count == COUNT
    assert len(report.files) >= 4
    assert set(report.kinds) == set(fuzz.KINDS)


def test_a_mutation_is_the_same_each_time(tmp_path):
    first, again = (fuzz.originals(folder) for folder in (tmp_path, tmp_path))
    for number in range(40):
        one, other = fuzz.mutation(first, number), fuzz.mutation(again, number)
        assert (one.kind, one.content) == (other.kind, other.content)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("import os; os.abort()", "ended the process"),
        ("while True: pass", "took more than 2 s"),
        ("bytearray(2**34)", "MemoryError"),
        ("raise KeyError('what')", "KeyError"),
        ("return fuzz.eb.solve(group='c2', output='2x2')", "accepted, and not equal"),
    ],
)
def test_whatever_a_reader_could_do_wrong_is_noticed(tmp_path, fault, said):
    """The harness itself, on readers that are broken in each of these ways."""
    (tmp_path / "broken.py").write_text(BROKEN.format(fault=fault), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, tmp_path / "broken.py"], capture_output=True, text=True, timeout=300
    )
    assert said in done.stdout, done.stderr


BROKEN = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import fuzz

originals = fuzz.originals
fuzz.originals = lambda folder: originals(folder, ["permutations"])
fuzz.__file__ = __file__
fuzz._SECONDS = 2
honest = fuzz.eb.load_basis


def load_basis(path):
    if b"broken" not in open(path, "rb").read():
        return honest(path)
    {{fault}}


def mutation(files, number):
    global mutated
    mutated = fuzz.Mutation(files[0], "flipped", b"broken" if number == 1 else b"")
    return mutated


fuzz.eb.load_basis = load_basis
fuzz.mutation = mutation
if "--worker" in sys.argv:
    sys.exit(fuzz.main())
report = fuzz.run(4, processes=1)
print(report, *report.wrong)
"""
