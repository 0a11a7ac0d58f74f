"""Convolutional classifiers, built from basis files: equivariant, and invariant at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from digits.config import BasisKey, ClassifierConfig, bases_needed
from digits.data import CLASSES
from equibasis.nn.cnn import convolved
from equibasis.nn.convolution import EquivariantConv2d
from equibasis.nn.fields import FieldAvgPool, GlobalAvgPool, OrbitMaxPool
from equibasis.nn.interface import FeatureSpace
from equibasis.nn.mlp import EquivariantSequential
from equibasis.solvers.basis import Basis


class Classifier(nn.Module):
    """Flattened square images (batch, pixels) -> (batch, classes), the same however they are moved.

    Attributes
    ----------
    convolutions
        Each followed by batch normalization and ReLU; the first by pooling that halves the grid.
    head
        The mean over the grid, the largest of each field over the group, and a linear layer.
    """

    def __init__(self, convolutions: EquivariantSequential, head: EquivariantSequential) -> None:
        super().__init__()
        self.convolutions = convolutions
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        """(batch, pixels) -> (batch, classes), before softmax."""
        side = round(images.shape[1] ** 0.5)
        answers: Tensor = self.head(self.convolutions(images.view(-1, 1, side, side)))
        return answers

    @property
    def fields(self) -> list[FeatureSpace]:
        """What the convolutions make."""
        layers = self.convolutions.layers
        return [layer.codomain for layer in layers if isinstance(layer, EquivariantConv2d)]

    def first_kernels(self) -> Tensor:
        """Return the first convolution's kernels, (channels, height, width), field by field."""
        first = self.convolutions.layers[0]
        assert isinstance(first, EquivariantConv2d)
        return first.weight().detach()[:, 0]


def classifier(config: ClassifierConfig, bases: Mapping[BasisKey, Basis]) -> Classifier:
    """Return a classifier at its random start, from the bases of `digits.bases.load_bases`."""
    layers: list[Any] = []
    for key in bases_needed(config):
        vectors = FeatureSpace.output_of(bases[key].space)
        layers += convolved(bases[key], vectors, nn.ReLU, "batch")
        fields = layers[-1].codomain
        if len(layers) == 3:
            # Windows that keep the centre of the grid where it is, so that the group still acts.
            odd = config.image_size % 2
            layers.append(FieldAvgPool(fields, 2 + odd, stride=2, padding=odd))
    return Classifier(
        EquivariantSequential(*layers),
        EquivariantSequential(
            GlobalAvgPool(fields),
            OrbitMaxPool(fields.at_a_point),
            nn.Linear(config.fields[-1], CLASSES),
        ),
    )
