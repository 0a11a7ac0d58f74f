"""equibasis: symmetry solved once, exactly, and kept as an artifact.

>>> import equibasis as eb
>>> basis = eb.solve(group="c4", input="14x14", output="6x6")
>>> basis.rank, basis.matrix.shape
(1764, (7056, 1764))

`solve` computes the canonical basis of the equivariant maps (or invariant vectors) of a finite
group, `save_basis` and `load_basis` keep it as an HDF5 file, and `equibasis.nn` trains on it.
"""

from equibasis.basis import Basis, subspace_angle, verify_basis
from equibasis.errors import (
    BasisFileError,
    DataError,
    EquibasisError,
    GroupError,
    ModelError,
    ParametersError,
    ShapeError,
    SolverError,
    WriteError,
)
from equibasis.groups import Group
from equibasis.representations import HomSpace
from equibasis.solvers import solve
from equibasis.store import content_sha256, load_basis, save_basis

__version__ = "0.1.0"

__all__ = [
    "Basis",
    "BasisFileError",
    "DataError",
    "EquibasisError",
    "Group",
    "GroupError",
    "HomSpace",
    "ModelError",
    "ParametersError",
    "ShapeError",
    "SolverError",
    "WriteError",
    "content_sha256",
    "load_basis",
    "save_basis",
    "solve",
    "subspace_angle",
    "verify_basis",
]
