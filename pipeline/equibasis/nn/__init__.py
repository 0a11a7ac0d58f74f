"""Torch layers and models built on a stored `equibasis.Basis`."""

from equibasis.nn.layers import EquivariantCombine, EquivariantLinear, InvariantAttentionPool

__all__ = ["EquivariantCombine", "EquivariantLinear", "InvariantAttentionPool"]
