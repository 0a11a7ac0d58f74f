"""Bases kept in the user's cache folder: each is solved once, by one process at a time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import warnings
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from equibasis.artifact.schema import FORMAT_VERSION
from equibasis.artifact.store import basis_path, load_basis, save_basis
from equibasis.errors import BasisFileError, EquibasisError, WriteError, cause
from equibasis.files import locked, remove_abandoned
from equibasis.solvers import find_solver, problem, solve_space
from equibasis.solvers.basis import Basis
from equibasis.symmetry.constructions import discrete_part
from equibasis.symmetry.group import Group
from equibasis.symmetry.hom_space import HomSpace
from equibasis.symmetry.representations import PermutationRepresentation, Representation
from equibasis.symmetry.spaces import Space

FOLDER_VARIABLE = "EQUIBASIS_CACHE"
SIZE_VARIABLE = "EQUIBASIS_CACHE_SIZE"
DEFAULT_SIZE = "1GB"

# c4_14x14_to_6x6-<32 digits of the key>.h5: nothing else in the folder is ours to list or remove.
_BASIS_NAME = re.compile(r"[\w.+-]+-[0-9a-f]{32}\.h5", re.ASCII)


def get_basis(
    group: str | Group,
    *,
    input: str | Sequence[int] | Space | None = None,
    output: str | Sequence[int] | Space,
    solver: str = "auto",
    workers: int | None = None,
    executor: Executor | None = None,
) -> Basis:
    """`equibasis.solve`, solved once and read from the user's cache folder from then on.

    What is looked up is the group's actual matrices on the two spaces, so a basis is never taken
    for that of another group of the same name. Of several processes that ask for one basis at
    once, one solves and the others wait for its file. A damaged file is solved again.

    Parameters
    ----------
    group, input, output, workers, executor
        As for `equibasis.solve`.
    solver
        Who solves a basis that is not there yet. Another solver's is the same basis.

    Raises
    ------
    GroupError, SpaceError, SolverError
        As `equibasis.solve`.
    EquibasisError
        If ``EQUIBASIS_CACHE_SIZE`` is not a size.

    Warns
    -----
    RuntimeWarning
        If the basis cannot be kept: the folder is read-only, the disk is full, or the basis is
        larger than the whole cache may be. It is solved and returned all the same.
    """
    chosen = find_solver(solver)
    most_bytes = cache_size()
    space = problem(group, input=input, output=output, workers=workers, executor=executor)
    try:
        folder = cache_folder()
    except EquibasisError as error:
        _warn_not_kept(space, str(error))
        return solve_space(space, chosen, executor)
    key = problem_sha256(space)
    path = folder / _file_name(space, key)
    kept = _load(path, key)
    if kept is not None:
        return kept
    with contextlib.ExitStack() as held:
        # Where there are no locks two processes may solve one basis, and both write it whole.
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(path))
        kept = _load(path, key)  # solved while this process waited
        if kept is not None:
            return kept
        basis = solve_space(space, chosen, executor)
        try:
            save_basis(basis, path)
        except WriteError as error:
            _warn_not_kept(space, str(error))
            return basis
    removed: list[CachedFile] = []
    with contextlib.suppress(EquibasisError):  # a folder may be written and yet not be listed
        removed = prune_cache(most_bytes)
    if path in (file.path for file in removed):
        _warn_not_kept(space, f"it is larger than the whole cache may be, {most_bytes:,} bytes")
    return basis


def cache_folder() -> Path:
    """Where bases are kept: ``EQUIBASIS_CACHE``, or the platform's cache folder for equibasis.

    Raises
    ------
    EquibasisError
        If there is no such folder: nobody's home is meant by a ``~``, a relative path is relative
        to a folder that was removed, or the platform names none because there is no home.
    """
    import platformdirs

    named = os.environ.get(FOLDER_VARIABLE)
    try:
        if named:
            return Path(named).expanduser().absolute()
        folder = platformdirs.user_cache_path("equibasis", appauthor=False)
        if not folder.is_absolute():  # a ~ that stands for no home, or XDG_CACHE_HOME=here
            raise RuntimeError(f"{folder} is no full path")
    except (OSError, RuntimeError) as error:
        place = f"{FOLDER_VARIABLE}={named} names no" if named else "there is no"
        raise EquibasisError(
            f"{place} folder for the cache ({cause(error)}): set {FOLDER_VARIABLE} to one"
        ) from error
    return folder


def cache_size() -> int:
    """How many bytes the cache may take: ``EQUIBASIS_CACHE_SIZE``, or 1 GB.

    Raises
    ------
    EquibasisError
        If the variable is not a size.
    """
    try:
        return parse_size(os.environ.get(SIZE_VARIABLE) or DEFAULT_SIZE)
    except EquibasisError as error:
        raise EquibasisError(f"{SIZE_VARIABLE}: {error}") from error


def parse_size(text: str) -> int:
    """Bytes from what users write.

    >>> parse_size("500MB"), parse_size("1.5 GiB"), parse_size("0")
    (500000000, 1610612736, 0)

    Raises
    ------
    EquibasisError
        If the text is not a size.
    """
    match = re.fullmatch(
        r"(\d{1,18}(?:\.\d{1,18})?)\s*(?:([kmgt])(i?)b?|b)?",
        text.strip(),
        re.ASCII | re.IGNORECASE,
    )
    if match is None:
        raise EquibasisError(f"{text!r} is not a size: write 500MB, 2GiB or a number of bytes")
    number, prefix, binary = match.groups()
    power = "kmgt".index(prefix.lower()) + 1 if prefix else 0
    return int(float(number) * (1024 if binary else 1000) ** power)


# --- what is in it ------------------------------------------------------------------------------


@dataclass(frozen=True)
class CachedFile:
    """A basis file in the cache.

    Attributes
    ----------
    path
        Its name says the problem, then the key.
    bytes
        Its size.
    last_used
        When it was made or last read, in seconds since 1970.
    """

    path: Path
    bytes: int
    last_used: float


def cached_files() -> list[CachedFile]:
    """Return the bases in the cache, the most recently used first.

    Raises
    ------
    EquibasisError
        If there is a cache that cannot be looked into.
    """
    folder, found = cache_folder(), []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if _BASIS_NAME.fullmatch(entry.name):
                    with contextlib.suppress(OSError):  # another process removed it
                        status = entry.stat(follow_symlinks=False)
                        found.append(CachedFile(Path(entry.path), status.st_size, status.st_mtime))
    except FileNotFoundError:  # nothing was kept yet
        return []
    except OSError as error:
        raise EquibasisError(f"cannot look into the cache {folder}: {cause(error)}") from error
    return sorted(found, key=lambda file: (-file.last_used, file.path.name))


def prune_cache(most_bytes: int) -> list[CachedFile]:
    """Remove the least recently used bases until the rest fits, and what killed processes left.

    Nobody who is reading, writing or waiting for a basis is harmed: at worst they solve it again.

    Returns
    -------
    list
        The bases removed. Files that may not be removed stay.

    Raises
    ------
    EquibasisError
        As `cached_files`.
    """
    folder, total = cache_folder(), 0
    removed: list[CachedFile] = []
    for file in cached_files():
        if total + file.bytes > most_bytes:
            with contextlib.suppress(OSError):  # in use, as Windows has it, or not ours
                file.path.unlink(missing_ok=True)
                removed.append(file)
                continue
        total += file.bytes
    remove_abandoned(folder)
    for lock in folder.glob("*.lock"):
        basis = lock.with_suffix("")
        if _BASIS_NAME.fullmatch(basis.name) and not basis.exists():
            # Held while it is removed, as somebody may be solving the basis.
            with contextlib.suppress(OSError), locked(basis, blocking=False):
                if not basis.exists():
                    lock.unlink()
    return removed


# --- keys and files -----------------------------------------------------------------------------


def problem_sha256(space: HomSpace) -> str:
    """SHA-256 over what a problem is: the group's name, elements, spaces and matrices.

    The solver is no part of it, as all of them give the same basis.
    """
    arrays = [*_arrays(space.input), *_arrays(space.output)]
    header = {
        "format_version": FORMAT_VERSION,
        "group": space.group,
        "elements": space.elements,
        "complete": space.complete,
        "continuous": space.continuous,
        "input_space": str(space.input_space),
        "output_space": str(space.output_space),
        "arrays": [None if array is None else [array.dtype.str, array.shape] for array in arrays],
    }
    digest = hashlib.sha256(json.dumps(header).encode())
    for array in arrays:
        if array is not None:
            digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _arrays(rho: Representation) -> list[np.ndarray | None]:
    """List a representation's arrays: contiguous, little-endian, of one type on any platform."""
    if isinstance(rho, PermutationRepresentation):
        signs = None if rho.signs is None else np.ascontiguousarray(rho.signs, "|i1")
        return [np.ascontiguousarray(rho.index, "<i8"), signs]
    if not rho.algebra:
        return [np.ascontiguousarray(rho.matrices, "<f8")]
    parts: list[np.ndarray | None] = [discrete_part(rho, len(rho.algebra))]
    for each in rho.algebra:
        entries = each.tocoo()
        parts += [np.stack([entries.row, entries.col]).astype("<i8"), entries.data.astype("<f8")]
    return parts


def _file_name(space: HomSpace, key: str) -> str:
    of_input = None if space.kind == "invariant" else str(space.input_space)
    stem = basis_path("", space.group, input=of_input, output=str(space.output_space)).stem
    readable = stem.lstrip("._-")[:60] or "basis"
    return f"{readable}-{key[:32]}.h5"


def basis_of_problem(path: Path, key: str) -> Basis | None:
    """Load the basis of a problem from a file; ``None`` if missing, damaged or of another.

    ``key`` is the problem's `problem_sha256`.
    """
    try:
        basis = load_basis(path)
    except BasisFileError:
        return None
    return basis if problem_sha256(basis.space) == key else None


def _load(path: Path, key: str) -> Basis | None:
    """Load the basis of a problem if it is in the cache, and note that it was used.

    Takes no lock and writes nothing but the time of use, so that a read-only cache can be read.
    """
    basis = basis_of_problem(path, key)
    if basis is not None:
        with contextlib.suppress(OSError):
            os.utime(path)
    return basis


def _warn_not_kept(space: HomSpace, reason: str) -> None:
    warnings.warn(
        f"the basis of {space} is not kept for next time: {reason} ({FOLDER_VARIABLE} moves the "
        f"cache, {SIZE_VARIABLE} bounds it)",
        RuntimeWarning,
        stacklevel=3,
    )
