"""Mutations of basis files: nothing but the same basis or one refusal, soon, in little memory.

    python tests/fuzz.py --count 200000 --minutes 10

Every mutation follows from its number alone: ``--only 1234`` runs that one in this process. Those
that break something are printed with their numbers, and the status is 1.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

import basis_files
import by_hand
import equibasis as eb
from equibasis.artifact import store
from equibasis.artifact.normalise import import_basis
from equibasis.artifact.plain_hdf5 import PlainFile
from equibasis.symmetry.workers import cores

# Seconds and MiB that one mutation may take beyond what its process has.
_SECONDS = 30
_MEBIBYTES = 512

# Of so many mutations one is imported too, which takes a process of its own; `--import-every`.
_IMPORT_EVERY = 25


@dataclass(frozen=True)
class Original:
    """A basis file, and what its basis is."""

    name: str
    content: bytes
    headers: list[tuple[int, int]]
    data: list[tuple[int, int]]
    derived: list[tuple[int, int]]
    basis: eb.Basis
    digest: str


# A file of every kind that there is, one of them without the matrix.
SOLVED: dict[str, Callable[[], eb.Basis]] = {
    "permutations": lambda: by_hand.solved("c4", input="6x6", output="3x3"),
    "signs": lambda: by_hand.solved("c4", input="3x3:vector", output="3x3"),
    "matrices": basis_files.BASES["slanted"],
    "copies of matrices": basis_files.BASES["copies of matrices"],
    "permutations and matrices": basis_files.BASES["permutations and matrices"],
    "invariants": lambda: by_hand.solved("d4", output="5x5"),
    "generators": lambda: by_hand.solved("s5", input="5x5", output="5x5"),
    "generators and signs": lambda: by_hand.solved("p4", input="4x4:vector", output="4x4"),
    "generators of matrices": basis_files.BASES["generators of matrices"],
    "continuous": basis_files.BASES["continuous"],
    "rank 0": basis_files.BASES["rank 0"],
    "sums": lambda: by_hand.solved("c4", input="dual(3x3:vector) + 2x2", output="2*(2x2 + 1)"),
    "a torus": lambda: by_hand.solved("z7*z7", input="7x7", output="7x7"),
    "rows of zeros": lambda: by_hand.solved("d4", input="5x5:pseudoscalar", output="4x4"),
    "annotated": lambda: by_hand.solved("c4", input="4x4:vector", output="4x4"),
    "without the matrix": lambda: by_hand.solved("d4", input="5x5", output="3x3"),
}


def originals(folder: Path, names: Sequence[str] = tuple(SOLVED)) -> list[Original]:
    """The files of these names, written to a folder."""
    found = []
    for name in names:
        basis = SOLVED[name]()
        path = folder / f"{name}.h5"
        eb.save_basis(basis, path)
        if name == "annotated":
            basis_files.edit(path, _annotated)
        if name == "without the matrix":
            basis_files.edit(path, lambda opened: opened.__delitem__("basis"))
        content = path.read_bytes()
        found.append(
            Original(
                name,
                content,
                basis_files.headers(content),
                *_data(path),
                basis,
                eb.content_sha256(basis),
            )
        )
    return found


def _annotated(opened: h5py.File) -> None:
    """What others add, and HDF5 keeps in the header."""
    for number in range(4):
        opened["types"].attrs[f"remark {number}"] = np.int64(number)
        opened[f"group/link {number}"] = h5py.SoftLink("/nowhere")


def _data(path: Path) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Where the numbers of the group, types, copies and tables are, and those of the matrix."""
    with h5py.File(path) as opened, PlainFile(path) as file:
        names: list[str] = []
        opened.visit(lambda name: names.append(f"/{name}"))
        content: list[tuple[int, int]] = []
        of_matrix: list[tuple[int, int]] = []
        for name in names:
            found = file.find(name)
            assert found is not None
            if found.kind is not None and found.kind.nbytes and found.kind.type != "utf-8":
                span = found.offset, found.offset + found.kind.nbytes
                (of_matrix if name.startswith("/basis/") else content).append(span)
    return content, of_matrix


# --- mutations ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mutation:
    """A changed file; ``rehashed`` if its hash fits, so that only `verify` can tell."""

    original: Original
    kind: str
    content: bytes

    @property
    def rehashed(self) -> bool:
        """Whether it is another file that is whole."""
        return self.kind == "rehashed"


def mutation(files: list[Original], number: int) -> Mutation:
    """Mutation ``number``, the same wherever it is asked for."""
    generator = np.random.default_rng(number)
    original = files[number % len(files)]
    kind = list(KINDS)[int(generator.integers(len(KINDS)))]
    content = KINDS[kind](generator, original, files)
    return Mutation(original, kind, content)


def _span(generator: np.random.Generator, size: int, longest: int = 400) -> tuple[int, int]:
    start = int(generator.integers(size))
    return start, min(size, start + int(generator.integers(1, longest)))


def _flipped(generator: np.random.Generator, original: Original, _: list[Original]) -> bytes:
    content = bytearray(original.content)
    for place in generator.integers(len(content), size=int(generator.integers(1, 9))):
        content[place] ^= 1 << int(generator.integers(8))
    return bytes(content)


def _replaced(generator: np.random.Generator, original: Original, _: list[Original]) -> bytes:
    start, end = _span(generator, len(original.content), 64)
    middle = generator.bytes(end - start)
    return original.content[:start] + middle + original.content[end:]


def _zeroed(generator: np.random.Generator, original: Original, _: list[Original]) -> bytes:
    start, end = _span(generator, len(original.content))
    fill = bytes([int(generator.choice([0, 0xFF]))])
    return original.content[:start] + fill * (end - start) + original.content[end:]


def _cut(generator: np.random.Generator, original: Original, _: list[Original]) -> bytes:
    return original.content[: int(generator.integers(len(original.content)))]


def _inserted(generator: np.random.Generator, original: Original, _: list[Original]) -> bytes:
    start, end = _span(generator, len(original.content))
    return original.content[:start] + generator.bytes(end - start) + original.content[start:]


def _removed(generator: np.random.Generator, original: Original, _: list[Original]) -> bytes:
    start, end = _span(generator, len(original.content))
    return original.content[:start] + original.content[end:]


def _swapped(generator: np.random.Generator, original: Original, _: list[Original]) -> bytes:
    content = original.content
    spans = (_span(generator, len(content)), _span(generator, len(content)))
    (a, b), (c, d) = sorted(spans)
    if b > c:
        b = c
    return content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]


def _spliced(generator: np.random.Generator, original: Original, files: list[Original]) -> bytes:
    other = files[int(generator.integers(len(files)))].content
    start, end = _span(generator, min(len(other), len(original.content)), 3000)
    shift = int(generator.choice([0, 0, int(generator.integers(len(original.content)))]))
    content = bytearray(original.content)
    content[start + shift : end + shift] = other[start:end]
    return bytes(content)


_EDGES = (0, 1, 2, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63, 2**64 - 1)


def _crafted(generator: np.random.Generator, original: Original, files: list[Original]) -> bytes:
    """Changed metadata whose checksums fit."""
    content, pieces = bytearray(original.content), original.headers
    for _ in range(int(generator.integers(1, 4))):
        start, end = pieces[int(generator.integers(len(pieces)))]
        place = int(generator.integers(start, end))
        width = min(int(generator.choice([1, 2, 4, 8])), end - place)
        choice = int(generator.integers(4))
        if choice == 0:
            content[place] ^= 1 << int(generator.integers(8))
        elif choice == 1:
            content[place : place + width] = generator.bytes(width)
        elif choice == 2:
            somewhere = pieces[int(generator.integers(len(pieces)))][0]
            edges = (*_EDGES, len(content), somewhere)
            value = edges[int(generator.integers(len(edges)))] % 2 ** (8 * width)
            content[place : place + width] = value.to_bytes(width, "little")
        else:
            other = files[int(generator.integers(len(files)))]
            a, b = other.headers[int(generator.integers(len(other.headers)))]
            taken = other.content[a:b][: end - place]
            content[place : place + len(taken)] = taken
    return basis_files.mended(content, pieces)


def _rehashed(generator: np.random.Generator, original: Original, _: list[Original]) -> bytes:
    """Changed numbers whose hash fits: another basis, or none."""
    return _with_numbers(generator, original, original.data)


def _other_matrix(generator: np.random.Generator, original: Original, _: list[Original]) -> bytes:
    """Changed numbers of the matrix, which follows from the rest: only `verify` can tell."""
    return _with_numbers(generator, original, original.derived)


def _with_numbers(
    generator: np.random.Generator, original: Original, places: list[tuple[int, int]]
) -> bytes:
    content = bytearray(original.content)
    for _ in range(int(generator.integers(1, 3)) if places else 0):
        start, end = places[int(generator.integers(len(places)))]
        place = int(generator.integers(start, end))
        if generator.integers(2):
            content[place] ^= 1 << int(generator.integers(8))
        else:
            other = int(generator.integers(start, end))
            content[place], content[other] = content[other], content[place]
    with h5py.File(io.BytesIO(bytes(content)), "r") as opened:
        old, new = opened.attrs["content_sha256"], basis_files.hash_by_hand(opened).encode()
    whole = bytearray(bytes(content).replace(old, new))
    return basis_files.mended(whole, original.headers)


KINDS = {
    "flipped": _flipped,
    "replaced": _replaced,
    "zeroed": _zeroed,
    "cut": _cut,
    "inserted": _inserted,
    "removed": _removed,
    "swapped": _swapped,
    "spliced": _spliced,
    "crafted": _crafted,
    "rehashed": _rehashed,
    "other matrix": _other_matrix,
}


# --- one mutation -------------------------------------------------------------------------------


def outcome(mutated: Mutation, path: Path) -> str:
    """What comes of a mutation: ``rejected``, ``equal``, or what is wrong."""
    path.write_bytes(mutated.content)
    return _outcome(mutated, path, lambda: eb.load_basis(path))


def outcome_of_import(mutated: Mutation, path: Path) -> str:
    """The same of a mutation that the HDF5 library reads, in a process of its own."""
    path.write_bytes(mutated.content)
    out = path.with_name("imported.h5")
    out.write_bytes(b"before")

    def load() -> eb.Basis:
        import_basis(path, out)
        return eb.load_basis(out)

    result = _outcome(mutated, path, load, out)
    if result == "rejected" and out.read_bytes() != b"before":
        return "WRONG: rejected, and written"
    return f"{result} by import"


def _outcome(
    mutated: Mutation, path: Path, load: Callable[[], eb.Basis], written: Path | None = None
) -> str:
    try:
        basis = load()
    except eb.BasisFileError as error:
        message = str(error)
        if len(message.splitlines()) != 1 or not message.startswith(str(path)):
            return f"WRONG: message {message!r}"
        return "rejected"
    same = eb.content_sha256(basis) == mutated.original.digest
    if mutated.kind != "crafted" and not mutated.rehashed:
        same &= basis.solver == mutated.original.basis.solver
    if not same and not mutated.rehashed:
        return "WRONG: accepted, and not equal"
    try:
        store.verify_file(written or path)
    except eb.BasisFileError:
        return "equal" if same else "rejected by verify"
    changed = mutated.content != mutated.original.content
    if mutated.kind == "other matrix" and changed and written is None:
        return "WRONG: verified, and its matrix is another"
    if not _close(basis, mutated.original):
        return "WRONG: verified, and not equal"
    return "equal"


def _close(basis: eb.Basis, original: Original) -> bool:
    """Whether a basis is the original but for rounding, which a changed last bit of a number is."""
    other = original.basis
    arrays = [
        (by_hand.dense(basis), by_hand.dense(other)),
        (by_hand.matrices(basis.space.input), by_hand.matrices(other.space.input)),
        (by_hand.matrices(basis.space.output), by_hand.matrices(other.space.output)),
    ]
    return all(a.shape == b.shape and np.allclose(a, b, rtol=0, atol=1e-8) for a, b in arrays)


def _work(folder: Path, start: int, step: int, count: int, import_every: int) -> None:
    files = originals(folder)
    path = folder / "mutated.h5"
    _limit_memory()
    for number in range(start, count, step):
        print(f"{number} begins", flush=True)
        try:
            mutated = mutation(files, number)
            result = outcome(mutated, path)
            if number // step % import_every == 0 and not result.startswith("WRONG"):
                by_import = outcome_of_import(mutated, path)
                result = by_import if by_import.startswith("WRONG") else f"{result}, {by_import}"
        except Exception as error:
            result = f"WRONG: {type(error).__name__}: {error}"
            print(f"{number} {files[number % len(files)].name}\t?\t{result}", flush=True)
            continue
        print(f"{number} {mutated.original.name}\t{mutated.kind}\t{result}", flush=True)


def _limit_memory() -> None:
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (ImportError, OSError):
        return
    most = pages * resource.getpagesize() + _MEBIBYTES * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


# --- many, in processes that may die ------------------------------------------------------------


@dataclass
class Report:
    """What came of many mutations."""

    outcomes: Counter[str] = field(default_factory=Counter)
    files: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many mutations were tried."""
        return sum(self.outcomes.values()) + len(self.wrong)

    def __str__(self) -> str:
        told = ", ".join(f"{count:,} {name}" for name, count in sorted(self.outcomes.items()))
        return (
            f"{self.count - len(self.wrong):,} of {self.count:,} mutations of "
            f"{len(self.files)} basis files survived ({told}); {len(self.wrong)} broke something"
        )


class _Worker:
    """A process that tries every ``step``-th mutation, started again after one that kills it."""

    def __init__(self, start: int, step: int, count: int, import_every: int) -> None:
        self.next, self.step, self.count, self.import_every = start, step, count, import_every
        self.current: int | None = None
        self.folder = tempfile.TemporaryDirectory(prefix="equibasis-fuzz-")
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `stop`
        self.launch()

    def launch(self) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--worker", self.folder.name,
             *map(str, (self.next, self.step, self.count, self.import_every))],
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env=environment,
        )  # fmt: skip
        self.buffer = b""
        self.last = time.monotonic()

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def close(self) -> None:
        self.stop()
        self.errors.close()
        self.folder.cleanup()


def run(
    count: int,
    first: int = 0,
    processes: int = 2,
    seconds: float = 1e9,
    import_every: int = _IMPORT_EVERY,
) -> Report:
    """Try mutations ``first`` to ``first + count - 1``, or as many as there is time for."""
    report, ends = Report(), time.monotonic() + seconds
    workers = [_Worker(first + n, processes, first + count, import_every) for n in range(processes)]
    waiting = selectors.DefaultSelector()
    for worker in workers:
        waiting.register(worker.process.stdout, selectors.EVENT_READ, worker)
    try:
        while waiting.get_map() and time.monotonic() < ends:
            for key, _ in waiting.select(timeout=1):
                worker = key.data
                if not _heard(worker, report):
                    waiting.unregister(key.fileobj)
                    _ended(worker, report, waiting)
            for key in list(waiting.get_map().values()):
                worker = key.data
                if worker.current is not None and time.monotonic() - worker.last > _SECONDS:
                    waiting.unregister(key.fileobj)
                    worker.process.kill()
                    _ended(worker, report, waiting, f"took more than {_SECONDS} s")
    finally:
        for worker in workers:
            worker.close()
    return report


def _heard(worker: _Worker, report: Report) -> bool:
    """Take what a worker has to say; False when it has ended."""
    assert worker.process.stdout is not None
    said = os.read(worker.process.stdout.fileno(), 65536)
    *lines, worker.buffer = (worker.buffer + said).split(b"\n")
    for line in lines:
        number, _, rest = line.decode().partition(" ")
        worker.last = time.monotonic()
        if rest == "begins":
            worker.current = int(number)
            continue
        name, kind, result = rest.split("\t")
        worker.current, worker.next = None, int(number) + worker.step
        report.files[name] += 1
        report.kinds[kind] += 1
        if result.startswith("WRONG"):
            report.wrong.append(f"mutation {number} ({kind}) of {name!r}: {result}")
        else:
            report.outcomes[result] += 1
    return bool(said)


def _ended(
    worker: _Worker, report: Report, waiting: selectors.BaseSelector, why: str | None = None
) -> None:
    """After the end of a process: done, or killed by a mutation, which the next one leaves out."""
    status = worker.process.wait()
    if status == 0 and why is None:
        return
    worker.errors.seek(0)
    last_words = worker.errors.read().decode(errors="replace").strip().splitlines()[-1:]
    if worker.current is None:
        raise RuntimeError(f"a worker ended with status {status}: {last_words}")
    what = why or f"ended the process with status {status}"
    report.wrong.append(f"mutation {worker.current}: {what} {last_words}")
    worker.next, worker.current = worker.current + worker.step, None
    worker.stop()
    worker.launch()
    waiting.register(worker.process.stdout, selectors.EVENT_READ, worker)


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=200_000, help="mutations at most")
    parser.add_argument("--minutes", type=float, default=10, help="time at most")
    parser.add_argument("--first", type=int, default=0, help="number of the first mutation")
    parser.add_argument("--processes", type=int, default=cores())
    parser.add_argument("--only", type=int, help="run one mutation, here")
    parser.add_argument(
        "--import-every", type=int, default=_IMPORT_EVERY, help="import one of so many mutations"
    )
    parser.add_argument("--worker", nargs=5, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        folder, *numbers = asked.worker
        _work(Path(folder), *map(int, numbers))
        return 0
    if asked.only is not None:
        with tempfile.TemporaryDirectory() as folder:
            mutated = mutation(originals(Path(folder)), asked.only)
            print(mutated.original.name, mutated.kind, hashlib.sha256(mutated.content).hexdigest())
            print(outcome(mutated, Path(folder) / "mutated.h5"))
            print(outcome_of_import(mutated, Path(folder) / "mutated.h5"))
        return 0
    begun = time.monotonic()
    seconds = 60 * asked.minutes
    report = run(asked.count, asked.first, asked.processes, seconds, asked.import_every)
    print(*report.wrong, sep="\n", end="\n" if report.wrong else "")
    for title, counts in (("files", report.files), ("mutations", report.kinds)):
        print(f"{title}: " + ", ".join(f"{n:,} {name}" for name, n in sorted(counts.items())))
    print(f"{report}, in {time.monotonic() - begun:.0f} s")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
