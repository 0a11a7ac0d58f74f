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


@pytest.mark.slow
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


FAULTS = {
    "import os; os.abort()": "ended the process",
    "while True: pass": "took more than 2 s",
    "bytearray(2**34)": "MemoryError",
    "raise KeyError('what')": "KeyError",
    "return fuzz.eb.solve(group='c2', output='2x2')": "accepted, and not equal",
}


@pytest.mark.slow
def test_whatever_a_reader_could_do_wrong_is_noticed(tmp_path):
    """The harness itself, on a reader that is broken in each of these ways, one after the other."""
    (tmp_path / "broken.py").write_text(BROKEN, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, tmp_path / "broken.py"], capture_output=True, text=True, timeout=300
    )
    report, *wrong = done.stdout.splitlines()
    assert f"2 of {len(FAULTS) + 2} mutations of 1 basis files survived" in report, done.stderr
    for number, (told, said) in enumerate(zip(wrong, FAULTS.values(), strict=True), start=1):
        assert told.startswith(f"mutation {number}")
        assert said in told


BROKEN = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import fuzz

originals = fuzz.originals
fuzz.originals = lambda folder: originals(folder, ["permutations"])
fuzz.__file__ = __file__
fuzz._SECONDS = 2
honest = fuzz.eb.load_basis
FAULTS = {list(FAULTS)!r}


def load_basis(path):
    content = open(path, "rb").read()
    if not content.startswith(b"broken"):
        return honest(path)
    names = {{"fuzz": fuzz}}
    exec("def broken():\\n    " + FAULTS[int(content[6:])], names)
    return names["broken"]()


def mutation(files, number):
    content = b"broken%d" % (number - 1) if 0 < number <= len(FAULTS) else b""
    return fuzz.Mutation(files[0], "flipped", content)


fuzz.eb.load_basis = load_basis
fuzz.mutation = mutation
if "--worker" in sys.argv:
    sys.exit(fuzz.main())
report = fuzz.run(len(FAULTS) + 2, processes=1)
print(report, *report.wrong, sep="\\n")
"""
