"""The errors of equibasis: a small tree under one root, each message one line with its remedy."""


class EquibasisError(Exception):
    """Root of every error raised on purpose by equibasis; its message is always one line."""

    def __str__(self) -> str:
        return " ".join(super().__str__().split())


class GroupError(EquibasisError):
    """A group that is not known, cannot be imported, or is not a group."""


class SpaceError(EquibasisError):
    """A space that is malformed, or on which the group does not act."""


class SolverError(EquibasisError):
    """A solver that is not known, does not apply, or whose result failed its check."""


class BasisFileError(EquibasisError):
    """A basis file that is missing, damaged, or does not hold what it claims."""


class WriteError(EquibasisError):
    """A file that cannot be written."""


class ModelError(EquibasisError):
    """Layers or weights that do not fit the bases they are built on."""


class ParametersError(EquibasisError):
    """A parameter file that is missing, malformed, or holds an impossible value."""


class DataError(EquibasisError):
    """A data source that is not known or cannot be had."""


class AuditError(EquibasisError):
    """A project that cannot be audited."""
