"""An autoencoder from its config: plain, or equivariant on the bases that the pipeline solved."""

from __future__ import annotations

from pathlib import Path

from digits.config import AutoencoderConfig
from digits.plain import Autoencoder, plain_autoencoder


def build_autoencoder(
    config: AutoencoderConfig, folder: str | Path
) -> tuple[Autoencoder, dict[str, str]]:
    """An autoencoder at its random start, from the basis files in ``folder``.

    Returns
    -------
    tuple
        The model, and the content hash of each basis that it is built on, by the file's name.

    Raises
    ------
    BasisFileError
        If a basis is missing, damaged, or of another problem, naming the command that makes it.
    """
    if not config.is_equivariant:
        return plain_autoencoder(config), {}
    # Imported here, as plain models need no symmetry: they neither wait for it nor depend on it.
    from digits.bases import basis_hashes, load_bases
    from digits.equivariant import equivariant_autoencoder

    bases = load_bases(config, folder)
    return equivariant_autoencoder(config, bases), basis_hashes(config.group, bases)
