"""The basis files that the stages make and load."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from digits.config import BasisKey, ClassifierConfig, ModelConfig, bases_needed
from equibasis.artifact.store import basis_path, content_sha256, load_basis_for
from equibasis.solvers.basis import Basis


def basis_file(folder: str | Path, group: str, key: BasisKey, classifier: str = "") -> Path:
    """Where the pipeline keeps a basis below ``folder``: those of each classifier by themselves."""
    input_, output = key
    part = f"kernels/{classifier}" if classifier else "equivariant" if input_ else "invariant"
    return basis_path(Path(folder) / part, group, input=input_, output=output)


def load_bases(config: ModelConfig, folder: str | Path) -> dict[BasisKey, Basis]:
    """The bases that a model needs, from their files.

    Raises
    ------
    BasisFileError
        If one is missing, damaged, or of another problem, naming the command that makes it.
    """
    classifier = _classifier(config)
    return {
        key: load_stage_basis(folder, config.group, key, classifier) for key in bases_needed(config)
    }


def load_stage_basis(folder: str | Path, group: str, key: BasisKey, classifier: str = "") -> Basis:
    """The basis of one problem, from its file; raises as `load_bases`."""
    path = basis_file(folder, group, key, classifier)
    command = None
    if ":" in group:  # modules in groups/ are found by the stages alone
        stage = f"kernels {classifier}" if classifier else f"bases {path.parent.name}"
        command = f"python pipeline {stage}"
    return load_basis_for(path, group, input=key[0], output=key[1], command=command)


def basis_hashes(config: ModelConfig, bases: Mapping[BasisKey, Basis]) -> dict[str, str]:
    """The content hash of each basis, by the name of its file below the folder of bases."""
    classifier = _classifier(config)
    return {
        basis_file("", config.group, key, classifier).as_posix(): content_sha256(basis)
        for key, basis in bases.items()
    }


def _classifier(config: ModelConfig) -> str:
    return config.model if isinstance(config, ClassifierConfig) else ""
