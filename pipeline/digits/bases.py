"""The basis files that the stages make and load."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from digits.config import BasisKey, ClassifierConfig, ModelConfig, bases_needed
from equibasis.artifact.cache import problem_sha256
from equibasis.artifact.store import basis_path, content_sha256, load_basis
from equibasis.errors import BasisFileError
from equibasis.files import is_missing
from equibasis.solvers import problem
from equibasis.solvers.basis import Basis
from equibasis.symmetry.catalog import group_name, is_built_in
from equibasis.symmetry.space_text import as_space


def basis_file(folder: str | Path, group: str, key: BasisKey, classifier: str = "") -> Path:
    """Where the pipeline keeps a basis below ``folder``: those of each classifier by themselves."""
    input_, output = key
    part = f"kernels/{classifier}" if classifier else "equivariant" if input_ else "invariant"
    return basis_path(Path(folder) / part, group, input=input_, output=output)


def load_bases(config: ModelConfig, folder: str | Path) -> dict[BasisKey, Basis]:
    """Return the bases that a model needs, from their files.

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
    """Return the basis of one problem, from its file, which must hold just this one.

    Of a built-in group the matrices are compared, as a user's may have its name; a user's own is
    known by its name alone, as its code may be elsewhere. Raises as `load_bases`.
    """
    path, (input_, output) = basis_file(folder, group, key, classifier), key
    if ":" in group:  # modules in groups/ are found by the stages alone
        stage = f"kernels {classifier}" if classifier else f"bases {path.parent.name}"
        command = f"python pipeline {stage}"
    else:
        asked = ["--group", group, *(["--input", input_] if input_ else []), "--output", output]
        command = shlex.join(["equibasis", "solve", str(path), *asked])
    try:
        basis = load_basis(path)
    except BasisFileError as error:
        if is_missing(path):
            raise BasisFileError(f"{path} does not exist: make it with '{command}'") from error
        raise
    wanted = (group_name(group), as_space(input_), as_space(output))
    if (basis.group, basis.space.input_space, basis.space.output_space) != wanted:
        raise BasisFileError(f"{path} holds {basis.space}: make the right one with '{command}'")
    if is_built_in(group):
        space = problem(group, input=input_, output=output)
        if problem_sha256(basis.space) != problem_sha256(space):
            raise BasisFileError(
                f"{path} holds {basis.space}, but of another group than the built-in "
                f"{basis.group}: make the right one with '{command}'"
            )
    return basis


def basis_hashes(config: ModelConfig, bases: Mapping[BasisKey, Basis]) -> dict[str, str]:
    """Return the content hash of each basis, by the name of its file below the folder of bases."""
    classifier = _classifier(config)
    return {
        basis_file("", config.group, key, classifier).as_posix(): content_sha256(basis)
        for key, basis in bases.items()
    }


def _classifier(config: ModelConfig) -> str:
    return config.model if isinstance(config, ClassifierConfig) else ""
