"""Files of other HDF5 programs, read with the HDF5 library, which a hostile file can crash or hang.

For a process of its own, which `normalise` starts: the entries of the format are copied to a plain
file, in the types of the format where they hold the values exactly. Sizes are held against the
file's own and against memory before anything is allocated for them.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import h5py
import numpy as np
import psutil

from equibasis.artifact.schema import MATRIX, SEAL, TABLE, Entry
from equibasis.errors import BasisFileError, EquibasisError
from equibasis.hdf5 import write_hdf5

# Exit status of the process, beside 0; it says why on its standard output.
REFUSED = 3

# Bytes that the entries may take for each byte of the file, beyond a first mebibyte: DEFLATE makes
# nothing smaller by more.
_MOST_EXPANDED = 1100
_ALWAYS = 2**20

# Memory of the process beyond what it has at first: for HDF5 itself, and for each byte that the
# entries declare, which are read, converted, written and read back.
_FOR_HDF5 = 2**29
_FOR_A_BYTE = 8


def copy_entries(source: str, target: str, seconds: str) -> NoReturn:
    """Copy the entries of the format from any HDF5 file to a plain one, within limits, and exit.

    For `normalise`, on the command line of a process: what the exit status does not say is on the
    standard output. ``seconds`` of computing end the process even if nobody waits for it any more.
    """
    status, said = 0, ""
    try:
        _limit(_FOR_HDF5, int(seconds))
        write_hdf5(target, _entries(source))
    except MemoryError:
        status, said = REFUSED, "it takes more memory than a file of its size may"
    except EquibasisError as error:
        status, said = REFUSED, str(error)
    except (OSError, LookupError, ValueError, TypeError, RuntimeError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        status, said = REFUSED, f"HDF5 cannot read it: {reason}"
    sys.stdout.buffer.write(said.encode("utf-8", "backslashreplace"))
    sys.stdout.flush()
    os._exit(status)  # HDF5 may crash while it closes what was damaged


def _limit(more_bytes: int, seconds: int | None = None) -> None:
    """Let this process take so many bytes more than it has, and leave no image of it behind."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # not on Windows
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if seconds is not None:
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        most = psutil.Process().memory_info().vms + more_bytes
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _entries(source: str) -> dict[str, np.ndarray]:
    """List the entries of the table, in its types; not the matrix."""
    entries = {}
    with h5py.File(source, "r", locking=False) as file:
        found = list(_found(file))
        declared = sum(math.prod(each.shape or ()) * each.dtype.itemsize for _, each in found)
        file_bytes = Path(source).stat().st_size
        if declared > _ALWAYS + _MOST_EXPANDED * file_bytes:
            raise BasisFileError(
                f"it declares {declared:,} bytes, which no file of {file_bytes:,} bytes holds"
            )
        needed = _FOR_HDF5 + _FOR_A_BYTE * declared
        if needed > (available := psutil.virtual_memory().available):
            raise BasisFileError(
                f"it takes {needed:,} bytes of memory to read, and {available:,} are free"
            )
        _limit(needed)
        for entry, thing in found:
            try:
                entries[entry.name] = _converted(entry, thing)
            except BasisFileError:
                if entry.hashed or entry is SEAL:
                    raise
    return entries


def _found(file: h5py.File) -> Iterator[tuple[Entry, h5py.Dataset | h5py.h5a.AttrID]]:
    """Each entry of the table that the file has, by hard links alone, none of them read."""
    for entry in TABLE:
        if entry.name.startswith(MATRIX):
            continue
        held = _object(file, entry.holder if entry.attribute else entry.name)
        if held is None:
            continue
        if entry.attribute:
            name = entry.attribute.encode()
            if h5py.h5a.exists(held.id, name):
                yield entry, h5py.h5a.open(held.id, name)
        elif isinstance(held, h5py.Dataset):
            creation = held.id.get_create_plist()
            if creation.get_layout() == h5py.h5d.VIRTUAL or creation.get_external_count():
                raise BasisFileError(f"{entry} is in other files, where nobody follows it")
            yield entry, held


def _object(file: h5py.File, path: str) -> h5py.HLObject | None:
    here: h5py.HLObject = file
    for name in path.split("/")[1:] if path != "/" else []:
        if not isinstance(here, h5py.Group):
            return None
        link = here.get(name, getlink=True)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise BasisFileError(f"{path} is a link to somewhere else, which nobody follows")
        here = here[name]
    return here


# --- values in the format's types ---------------------------------------------------------------


def _converted(entry: Entry, thing: h5py.Dataset | h5py.h5a.AttrID) -> np.ndarray:
    """Return the value of an entry, exactly, in the first of its types that holds it."""
    if thing.shape is None:
        raise BasisFileError(f"{entry} is empty")
    strings = h5py.check_string_dtype(thing.dtype)
    is_text = entry.types == ("utf-8",)
    if is_text != (strings is not None) or not (is_text or thing.dtype.kind in "iuf"):
        found = thing.dtype if strings is None else "text"
        raise BasisFileError(f"{entry} has type {found}, expected {' or '.join(entry.types)}")
    if is_text:
        type_ = (thing.id if isinstance(thing, h5py.Dataset) else thing).get_type()
        padded = strings.length is not None and type_.get_strpad() == h5py.h5t.STR_SPACEPAD
        array = _texts(entry, _values(thing), padded)
    else:
        array = _numbers(entry, _values(thing))
    # A number may be a list of one, and a list a row or a column.
    axes, longest = len(entry.shape), max(array.shape, default=1)
    same = axes < 2 and array.size == longest and (axes or longest == 1)
    return array.reshape((longest,) * axes) if same else array


def _values(thing: h5py.Dataset | h5py.h5a.AttrID) -> np.ndarray:
    values = np.empty(thing.shape, thing.dtype)
    if isinstance(thing, h5py.Dataset):
        if values.size:
            thing.read_direct(values)
    else:
        thing.read(values)
    return values


def _texts(entry: Entry, values: np.ndarray, padded: bool) -> np.ndarray:
    """Strings as UTF-8 of one length."""
    texts = [each if isinstance(each, bytes) else b"" for each in values.ravel().tolist()]
    if padded:
        texts = [each.rstrip(b" ") for each in texts]
    length = max([1, *map(len, texts)])
    if any(b"\0" in each for each in texts):
        raise BasisFileError(f"{entry} holds a NUL")
    if len(texts) * length > _ALWAYS + _MOST_EXPANDED * (sum(map(len, texts)) + len(texts)):
        raise BasisFileError(f"{entry} takes {len(texts) * length:,} bytes")
    stored = np.array(texts, dtype=f"S{length}").reshape(values.shape)
    return stored.astype(h5py.string_dtype("utf-8", length))


def _numbers(entry: Entry, values: np.ndarray) -> np.ndarray:
    for type_ in entry.types:
        with np.errstate(all="ignore"):
            converted = values.astype(type_)
        if np.array_equal(converted, values, equal_nan=values.dtype.kind == "f"):
            return converted
    raise BasisFileError(f"{entry} holds numbers that {' and '.join(entry.types)} cannot hold")
