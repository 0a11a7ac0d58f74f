"""Torch layers and models built on a stored `equibasis.Basis`."""

from equibasis.errors import naming_extras

with naming_extras("equibasis.nn"):
    import torch as _torch  # noqa: F401

from equibasis.nn.activations import (
    DirectSumActivation,
    GatedActivation,
    NormActivation,
    Pointwise,
    activation_for,
)
from equibasis.nn.bilinear import EquivariantBilinear, EquivariantQuadratic
from equibasis.nn.cnn import EquivariantCNN
from equibasis.nn.convolution import (
    EquivariantConv1d,
    EquivariantConv2d,
    EquivariantConv3d,
    EquivariantConvTranspose1d,
    EquivariantConvTranspose2d,
    EquivariantConvTranspose3d,
)
from equibasis.nn.deploy import export
from equibasis.nn.fields import (
    FieldAvgPool,
    FieldDropout,
    FieldMaxPool,
    FieldsToVectors,
    FieldUpsample,
    GlobalAvgPool,
    OrbitMaxPool,
)
from equibasis.nn.init import activation_gain, variance_preserving_
from equibasis.nn.interface import EquivariantMap, FeatureSpace
from equibasis.nn.layers import EquivariantCombine, EquivariantLinear, InvariantAttentionPool
from equibasis.nn.mlp import EquivariantMLP, EquivariantSequential
from equibasis.nn.normalization import EquivariantBatchNorm, EquivariantLayerNorm
from equibasis.nn.pooling import InvariantForms, NormPool, OnInvariants, OrbitMeanPool
from equibasis.nn.reach import Reach, UnreachedWarning
from equibasis.nn.transfer import Restriction, restrict, transfer

__all__ = [
    "DirectSumActivation",
    "EquivariantBatchNorm",
    "EquivariantBilinear",
    "EquivariantCNN",
    "EquivariantCombine",
    "EquivariantConv1d",
    "EquivariantConv2d",
    "EquivariantConv3d",
    "EquivariantConvTranspose1d",
    "EquivariantConvTranspose2d",
    "EquivariantConvTranspose3d",
    "EquivariantLayerNorm",
    "EquivariantLinear",
    "EquivariantMLP",
    "EquivariantMap",
    "EquivariantQuadratic",
    "EquivariantSequential",
    "FeatureSpace",
    "FieldAvgPool",
    "FieldDropout",
    "FieldMaxPool",
    "FieldUpsample",
    "FieldsToVectors",
    "GatedActivation",
    "GlobalAvgPool",
    "InvariantAttentionPool",
    "InvariantForms",
    "NormActivation",
    "NormPool",
    "OnInvariants",
    "OrbitMaxPool",
    "OrbitMeanPool",
    "Pointwise",
    "Reach",
    "Restriction",
    "UnreachedWarning",
    "activation_for",
    "activation_gain",
    "export",
    "restrict",
    "transfer",
    "variance_preserving_",
]
