"""What a model of the experiments is, but for its weights, and which bases it is built on."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal, TypeAlias, get_args

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from digits.parameters import BiasChoice, Name, Parameters, Size, Start
from equibasis.errors import ModelError

# The autoencoders; the classifiers are those of the parameters.
Model: TypeAlias = Literal["standard", "standard_augmented", "equivariant", "equivariant_attention"]
MODELS: tuple[Model, ...] = get_args(Model)

# Edge lengths of the kernels of a classifier, layer by layer.
KERNEL_SIZES = (5, 5, 3)

# Input and output space of a basis; of invariant vectors the output alone.
BasisKey: TypeAlias = tuple[str | None, str]

# A group's name prints: it is told of.
_GroupName = Annotated[str, Field(pattern=r"^\P{C}+$")]

# Configs are held to their types, in files too.
EXACT = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=EXACT)
class AutoencoderConfig:
    """What an autoencoder is, but for its weights.

    Attributes
    ----------
    model
        One of `MODELS`.
    image_size, hidden_sizes
        Edge lengths of the square grids: of the image, and inside the encoder.
    group
        Name of the group, the trivial one for the standard models.
    bias
        ``"invariant"``, ``"scalar"`` or ``"none"``.
    start
        As in `equibasis.nn.EquivariantLinear`.
    """

    model: Model
    image_size: Size
    hidden_sizes: tuple[Size, Size]
    group: _GroupName = "trivial"
    bias: BiasChoice = "invariant"
    start: Start = "reference"

    @property
    def is_equivariant(self) -> bool:
        """Whether the model is built on bases."""
        return self.model.startswith("equivariant")

    @property
    def grids(self) -> list[str]:
        """Shapes along the network: image, hidden, latent, hidden, image."""
        return grids_along(self.image_size, self.hidden_sizes)


def grids_along(image_size: int, hidden_sizes: Sequence[int]) -> list[str]:
    """Shapes along an autoencoder: image, hidden, latent, hidden, image.

    >>> grids_along(14, (6, 3))
    ['14x14', '6x6', '3x3', '6x6', '14x14']
    """
    image, hidden, latent = (f"{size}x{size}" for size in (image_size, *hidden_sizes))
    return [image, hidden, latent, hidden, image]


@dataclass(frozen=True, config=EXACT)
class ClassifierConfig:
    """What a classifier is, but for its weights.

    Attributes
    ----------
    model
        Its name in the parameters.
    image_size
        Edge length of the image.
    group
        Name of the group; of the trivial one the classifier is a plain network.
    fields
        How many regular fields each of the three convolutions makes.
    """

    model: Name
    image_size: Size
    group: _GroupName
    fields: tuple[Size, Size, Size]


ModelConfig: TypeAlias = AutoencoderConfig | ClassifierConfig


def model_config(parameters: Parameters, model: str) -> ModelConfig:
    """Describe the model of the parameters; raises `ModelError` if there is no such model."""
    if model not in MODELS:
        if model in parameters.classify.models:
            return classifier_config(parameters, model)
        known = ", ".join([*MODELS, *parameters.classify.models])
        raise ModelError(f"unknown model {model!r}: choose {known}")
    hidden, latent = parameters.hidden_sizes
    config = AutoencoderConfig(model, parameters.image_size, (hidden, latent))
    if not config.is_equivariant:
        return config  # it does not depend on what is not its own
    train = parameters.train
    return replace(config, group=parameters.group, bias=train.bias, start=train.start)


def classifier_config(parameters: Parameters, model: str) -> ClassifierConfig:
    """Return the classifier of that name."""
    network = parameters.classify.models[model]
    first, second, third = network.fields
    return ClassifierConfig(model, parameters.image_size, network.group, (first, second, third))


def bases_needed(config: ModelConfig) -> list[BasisKey]:
    """List the (input, output) spaces of a model's bases; input None: invariants."""
    if isinstance(config, ClassifierConfig):
        return kernels_along(config.fields)
    if not config.is_equivariant:
        return []
    grids = config.grids
    needed: list[BasisKey] = list(itertools.pairwise(grids))
    latent = grids[2]
    if config.model == "equivariant_attention":
        needed += [(latent, latent), (None, latent)]
    if config.bias == "invariant":
        needed += [(None, grid) for grid in grids[1:]]
    return list(dict.fromkeys(needed))


def kernels_along(fields: Sequence[int]) -> list[BasisKey]:
    """Windows of the fields that a classifier has, and what each kernel makes of one, in order.

    >>> kernels_along([8, 16, 18])[:2]
    [('5x5', '8*regular'), ('8*(regular*5x5)', '16*regular')]
    """
    regular = [f"{count}*regular" for count in fields]
    first, *others = KERNEL_SIZES
    windows = [f"{first}x{first}"] + [
        f"{count}*(regular*{size}x{size})" for count, size in zip(fields, others, strict=False)
    ]
    return list(zip(windows, regular, strict=True))
