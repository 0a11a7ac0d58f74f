"""Writing HDF5 files: whole or not at all, and the same bytes everywhere."""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

import h5py
import numpy as np

from equibasis.files import write_bytes


def write_hdf5(
    path: str | os.PathLike[str],
    entries: Mapping[str, np.ndarray | np.generic],
    check: Callable[[Path], object] | None = None,
) -> None:
    """Write an HDF5 file, whole or not at all, and read it back; raises `WriteError`.

    Readable by every HDF5 since 1.8 (2008), and the same bytes whatever h5py and HDF5 wrote them
    and however they are configured: no times, no orders of creation, no heaps. The file is made
    in memory: where a disk is full, HDF5 itself would end the process.

    Parameters
    ----------
    path
        The file to make or replace.
    entries
        Numbers, or strings of fixed length: datasets by path, ``/basis/data``, for which groups are
        made; and attributes, at most eight for each object, ``/basis@shape``. HDF5 lays them out in
        their order, datasets first.
    check
        As for `write_bytes`; without it, h5py has to find every entry again.
    """
    write_bytes(path, _hdf5_image(entries), check or (lambda made: _check_hdf5(made, entries)))


def _hdf5_image(entries: Mapping[str, np.ndarray | np.generic]) -> bytes:
    """Return the bytes of an HDF5 file.

    Groups and datasets are made by hand, as what h5py makes by itself depends on its version and
    on its global configuration: whether a group notes the time, or the order of its attributes.
    """
    image = io.BytesIO()
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    # Not HDF5's own driver for files in memory, whose image of an open file HDF5 1.14 spoils.
    access.set_fileobj_driver(h5py.h5fd.fileobj_driver, image)
    # A profiler, as Dask has one, may hold on to our frames, and so to what is open in them.
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    access.set_libver_bounds(h5py.h5f.LIBVER_V18, h5py.h5f.LIBVER_V18)
    name = secrets.token_hex(8).encode()  # two of one name cannot be open in a process
    root = h5py.h5f.create(name, h5py.h5f.ACC_TRUNC, _untimed(h5py.h5p.FILE_CREATE), access)
    made: dict[str, h5py.h5g.GroupID | h5py.h5d.DatasetID] = {"/": h5py.h5g.open(root, b"/")}

    def make_group(path: str) -> None:
        if path not in made:
            make_group(path.rpartition("/")[0] or "/")
            made[path] = h5py.h5g.create(root, path.encode(), gcpl=_untimed(h5py.h5p.GROUP_CREATE))

    try:
        for path, value in sorted(entries.items(), key=lambda entry: "@" in entry[0]):
            holder, _, attribute = path.partition("@")
            array = _little_endian(value)
            space = h5py.h5s.create_simple(array.shape)
            kind = h5py.h5t.py_create(array.dtype, logical=True), space
            if attribute:
                make_group(holder)
                h5py.h5a.create(made[holder], attribute.encode(), *kind).write(array)
                continue
            make_group(path.rpartition("/")[0] or "/")
            creation = _untimed(h5py.h5p.DATASET_CREATE)
            made[path] = h5py.h5d.create(root, path.encode(), *kind, creation)
            if array.size:
                made[path].write(h5py.h5s.ALL, h5py.h5s.ALL, array)
    finally:
        made.clear()
        root.close()
    return image.getvalue()


def _untimed(kind: h5py.h5p.PropClassID) -> h5py.h5p.PropCreateID:
    properties = h5py.h5p.create(kind)
    properties.set_obj_track_times(False)
    return properties


def _little_endian(value: np.ndarray | np.generic) -> np.ndarray:
    """Make an array little-endian and contiguous; its type keeps h5py's note on strings."""
    if value.dtype.kind not in "iufS":
        raise TypeError(f"{value.dtype} is not stored: numbers and strings of fixed length are")
    array = np.asarray(value)
    if array.dtype.kind != "S":
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return np.require(array, requirements="C")


def _check_hdf5(path: Path, entries: Mapping[str, np.ndarray | np.generic]) -> None:
    with h5py.File(path, "r", locking=False) as file:
        for name, value in entries.items():
            holder, _, attribute = name.partition("@")
            found = np.asarray(file[holder].attrs[attribute] if attribute else file[holder][()])
            meant = _little_endian(value)
            same = (found.dtype, found.shape) == (meant.dtype, meant.shape)
            if not same or found.tobytes() != meant.tobytes():
                raise ValueError(f"{name} is another")
