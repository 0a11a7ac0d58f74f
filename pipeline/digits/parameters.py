"""params.yaml: read, checked, and handed on as one frozen object."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from equibasis.files import checked, read_yaml

BiasChoice: TypeAlias = Literal["invariant", "scalar", "none"]
Start: TypeAlias = Literal["reference", "variance"]
Source: TypeAlias = Literal["mnist5k", "mnist", "fashionmnist", "kmnist", "qmnist"]
Size = Annotated[int, Field(ge=1, le=1024, strict=True)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Data(_Section):
    """Where the digits come from."""

    source: Source = "mnist5k"
    root: str = "data/raw"


Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
# Not strict: YAML reads 1e-3, without a point, as text.
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=False)]


# Each device of a machine has a process of its own.
DeviceCount = Annotated[int, Field(ge=1, le=128)]


class Train(_Section):
    """How the autoencoders are trained, and on which devices all models."""

    epochs: Count = 120
    lr: Rate = 1e-3
    batch_size: Count = 128
    seed: Seed = 42
    bias: BiasChoice = "invariant"
    start: Start = "reference"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    devices: DeviceCount = 1
    strategy: Literal["auto", "ddp"] = "auto"
    precision: Literal["32-true", "bf16-mixed"] = "32-true"


# Of a classifier: part of paths and of names of stages.
Name = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]


class Network(_Section):
    """A classifier: its group, and how many regular fields each of its three convolutions makes.

    ``rotate``: it is trained on digits turned at random.
    """

    group: str
    fields: Annotated[list[Size], Field(min_length=3, max_length=3)]
    rotate: bool


class Classify(_Section):
    """The classifiers there are, those that are run, and how they are trained."""

    run: list[Name] = []

    epochs: Count = 12
    lr: Rate = 0.01
    batch_size: Count = 64
    seed: Seed = 42
    models: dict[Name, Network] = {}

    @model_validator(mode="after")
    def _check_run(self) -> Classify:
        if unknown := [name for name in self.run if name not in self.models]:
            raise ValueError(f"run names {unknown[0]}, which is none of the models")
        return self


class Evaluate(_Section):
    """How the models are measured."""

    seed: Seed = 0


class Parameters(_Section):
    """All parameters of the pipeline; params.yaml says what each means."""

    group: str = "c4"
    solver: str = "svd"
    image_size: Size = 14
    hidden_sizes: Annotated[list[Size], Field(min_length=2, max_length=2)] = [6, 3]
    data: Data = Data()
    train: Train = Train()
    classify: Classify = Classify()
    evaluate: Evaluate = Evaluate()


def load_parameters(path: str | Path = "params.yaml") -> Parameters:
    """Read a parameter file.

    Raises
    ------
    ParametersError
        If the file is missing or malformed, or a value is unknown or impossible, naming it.
    """
    remedy = "run from the project's folder, or name a file of parameters by --params"
    parameters: Parameters = checked(path, read_yaml(path, remedy), Parameters)
    return parameters
