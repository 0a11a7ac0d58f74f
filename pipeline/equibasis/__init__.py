"""equibasis: symmetry solved once, exactly, and kept as an artifact.

>>> import equibasis as eb
>>> basis = eb.solve(group="c4", input="14x14", output="6x6")
>>> basis.rank, basis.matrix.shape
(1764, (7056, 1764))

`solve` computes the canonical basis of the equivariant maps (or invariant vectors) of a
group, `save_basis` and `load_basis` keep it as an HDF5 file, `get_basis` keeps it in the user's
cache folder, and `equibasis.nn` trains on it.
"""

__version__ = "0.2.0.dev0"


# Nothing is imported here: of `python -m equibasis` this runs while Python still has the current
# folder first on its path. Names are listed in __init__.pyi, and imported when they are first
# used: a command that needs one wing does not pay for the others.
def _attach() -> None:
    import lazy_loader

    functions = lazy_loader.attach_stub(__name__, __file__)
    globals().update(zip(("__getattr__", "__dir__", "__all__"), functions, strict=True))


def __getattr__(name: str) -> object:
    _attach()
    return globals()[name] if name == "__all__" else globals()["__getattr__"](name)


def __dir__() -> list[str]:
    _attach()
    return globals()["__dir__"]()
