"""The basis files that the stages make and load."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from digits.config import BasisKey, ModelConfig, bases_needed, kind_of
from equibasis.artifact.store import basis_path, content_sha256, load_basis_for
from equibasis.solvers.basis import Basis


def basis_file(folder: str | Path, group: str, key: BasisKey) -> Path:
    """Where the pipeline keeps a basis below ``folder``."""
    input_, output = key
    return basis_path(Path(folder) / kind_of(key), group, input=input_, output=output)


def load_bases(config: ModelConfig, folder: str | Path) -> dict[BasisKey, Basis]:
    """The bases that a model needs, from their files.

    Raises
    ------
    BasisFileError
        If one is missing, damaged, or of another problem, naming the command that makes it.
    """
    return {key: load_stage_basis(folder, config.group, key) for key in bases_needed(config)}


def load_stage_basis(folder: str | Path, group: str, key: BasisKey) -> Basis:
    """The basis of one problem, from its file; raises as `load_bases`."""
    # Modules in groups/ are found by the stages alone.
    command = f"python pipeline bases {kind_of(key)}" if ":" in group else None
    path = basis_file(folder, group, key)
    return load_basis_for(path, group, input=key[0], output=key[1], command=command)


def basis_hashes(group: str, bases: Mapping[BasisKey, Basis]) -> dict[str, str]:
    """The content hash of each basis, by the name of its file below the folder of bases."""
    return {
        basis_file("", group, key).as_posix(): content_sha256(basis) for key, basis in bases.items()
    }
