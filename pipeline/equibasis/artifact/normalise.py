"""`import_basis`: a basis file that another HDF5 program has rewritten, as equibasis writes it.

Such a file may be compressed, chunked, or of an older or newer HDF5, which only the HDF5 library
reads; and a file that was made for it can make the library crash, hang or take all memory. So a
process of its own copies the entries of the format into a plain file, within limits, and nothing
of what it found is believed before that file has been read as every basis file is.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from equibasis.artifact.foreign_hdf5 import REFUSED
from equibasis.artifact.plain_hdf5 import opened
from equibasis.artifact.store import load_basis, save_basis
from equibasis.artifact.verification import verify_basis
from equibasis.errors import BasisFileError, EquibasisError, file_name, printable
from equibasis.files import check_writable
from equibasis.solvers.basis import Basis

# Seconds that the process may take, and seconds for each mebibyte of the file.
_SECONDS, _SECONDS_A_MEBIBYTE = 60.0, 1.0

_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[4:]; "
    "from equibasis.artifact.foreign_hdf5 import copy_entries; copy_entries(*sys.argv[1:4])"
)


def import_basis(path: str | os.PathLike[str], out: str | os.PathLike[str]) -> Basis:
    """Read a basis file through the HDF5 library, however it is stored, and write it to ``out``.

    For files that h5repack, h5copy, h5py, PyTables or AnnData have rewritten: the same content
    gives the same bytes again. ``out`` may be the file itself.

    Returns
    -------
    Basis
        What was written.

    Raises
    ------
    BasisFileError
        If the file is missing, is not a basis file, holds other content than its hash says or a
        basis that `verify_basis` refuses, or cannot be read within limits of time and memory.
    WriteError
        If ``out`` cannot be written; what was there before is still there.
    """
    path = Path(file_name(path, BasisFileError))
    check_writable(out)
    with tempfile.TemporaryDirectory(prefix="equibasis-") as folder:
        plain = Path(folder) / "plain.h5"
        try:
            _copy_in_a_process(path, plain)
        except BasisFileError as error:
            raise BasisFileError(f"{path}: {error}") from error
        basis = load_basis(plain, str(path))
    try:
        verify_basis(basis)
    except EquibasisError as error:
        raise BasisFileError(f"{path}: {error}") from error
    save_basis(basis, out)
    return basis


def _copy_in_a_process(path: Path, plain: Path) -> None:
    with opened(path) as file:  # and no pipe, nor device
        megabytes = os.fstat(file.fileno()).st_size / 2**20
    seconds = math.ceil(_SECONDS + _SECONDS_A_MEBIBYTE * megabytes)
    arguments = [str(path.absolute()), str(plain), str(seconds), *sys.path]
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
            cwd=plain.parent,
        )
    except subprocess.TimeoutExpired as error:
        raise BasisFileError(f"HDF5 did not read it within {seconds} s") from error
    if done.returncode == REFUSED:
        raise BasisFileError(_one_line(done.stdout))
    if done.returncode:
        last_words = _one_line(done.stderr.strip().rpartition(b"\n")[2])
        raise BasisFileError(
            f"the process that reads it with HDF5 ended with status {done.returncode}: "
            f"{last_words or 'the file is damaged, or memory is short'}"
        )


def _one_line(said: bytes) -> str:
    return printable(said.decode("utf-8", "backslashreplace"))[:500]
