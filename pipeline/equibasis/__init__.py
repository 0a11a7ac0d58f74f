"""equibasis: symmetry solved once, exactly, and kept as an artifact.

>>> import equibasis as eb
>>> basis = eb.solve(group="c4", input="14x14", output="6x6")
>>> basis.rank, basis.matrix.shape
(1764, (7056, 1764))

`solve` computes the canonical basis of the equivariant maps (or invariant vectors) of a finite
group, `save_basis` and `load_basis` keep it as an HDF5 file, `get_basis` keeps it in the user's
cache folder, and `equibasis.nn` trains on it.
"""

from equibasis.basis import Basis, subspace_angle
from equibasis.cache import get_basis
from equibasis.errors import (
    BasisFileError,
    DataError,
    EquibasisError,
    GroupError,
    ModelError,
    ParametersError,
    SolverError,
    SpaceError,
    WriteError,
)
from equibasis.groups import Group, direct_product, matrix_group, permutation_group
from equibasis.loading import load_basis
from equibasis.representations import HomSpace
from equibasis.solvers import solve
from equibasis.spaces import SCALAR, Grid, Space, V, as_space
from equibasis.store import content_sha256, save_basis
from equibasis.verification import verify_basis

__version__ = "0.1.0"

__all__ = [
    "SCALAR",
    "Basis",
    "BasisFileError",
    "DataError",
    "EquibasisError",
    "Grid",
    "Group",
    "GroupError",
    "HomSpace",
    "ModelError",
    "ParametersError",
    "SolverError",
    "Space",
    "SpaceError",
    "V",
    "WriteError",
    "as_space",
    "content_sha256",
    "direct_product",
    "get_basis",
    "load_basis",
    "matrix_group",
    "permutation_group",
    "save_basis",
    "solve",
    "subspace_angle",
    "verify_basis",
]
