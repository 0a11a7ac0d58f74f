"""Torch layers and models built on a stored `equibasis.Basis`."""

import lazy_loader

from equibasis.errors import naming_extras

with naming_extras("equibasis.nn"):
    import torch as _torch  # noqa: F401

# Names are listed in __init__.pyi, and imported when they are first used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
