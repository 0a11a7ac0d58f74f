"""A model from its config: plain, or on the bases that the pipeline solved."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from digits.config import AutoencoderConfig, ClassifierConfig, ModelConfig
from digits.plain import plain_autoencoder
from equibasis.errors import ModelError


def build_model(
    config: ModelConfig, folder: str | Path, trained_on: Mapping[str, str] | None = None
) -> tuple[Any, dict[str, str]]:
    """Return a model at its random start, from the basis files in ``folder``.

    Parameters
    ----------
    config
        What it is.
    folder
        The basis files, as the pipeline names them.
    trained_on
        The content hash that each of them must have, by the file's name; None: any.

    Returns
    -------
    tuple
        The model, and the content hash of each basis that it is built on, by the file's name.

    Raises
    ------
    BasisFileError
        If a basis is missing, damaged, or of another problem, naming the command that makes it.
    ModelError
        If a basis is not the one of ``trained_on``.
    """
    if isinstance(config, AutoencoderConfig) and not config.is_equivariant:
        return plain_autoencoder(config), {}
    # Imported here, as plain models need no symmetry: they neither wait for it nor depend on it.
    from digits.bases import basis_hashes, load_bases

    bases = load_bases(config, folder)
    hashes = basis_hashes(config, bases)
    for name, found in hashes.items():
        if trained_on is not None and trained_on.get(name) != found:
            raise ModelError(
                f"the weights were trained on another {name} than the one in {folder}: train "
                f"again with 'python pipeline train {config.model}'"
            )
    if isinstance(config, ClassifierConfig):
        from digits.classifiers import classifier

        return classifier(config, bases), hashes
    from digits.equivariant import equivariant_autoencoder

    return equivariant_autoencoder(config, bases), hashes
