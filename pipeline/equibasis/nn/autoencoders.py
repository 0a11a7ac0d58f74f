"""The autoencoders of the digits experiment, built from basis files and never solving anything."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import safetensors
import safetensors.torch
from torch import Tensor, nn

from equibasis.basis import Basis
from equibasis.errors import ModelError
from equibasis.files import open_regular, write_text, writing
from equibasis.nn.layers import (
    Bias,
    EquivariantCombine,
    EquivariantLinear,
    InvariantAttentionPool,
    Start,
)
from equibasis.store import basis_path, content_sha256, load_basis_for

MODELS = ("standard", "standard_augmented", "equivariant", "equivariant_attention")

BiasChoice = Literal["invariant", "scalar", "none"]


@dataclass(frozen=True)
class AutoencoderConfig:
    """What an autoencoder is, but for its weights.

    Attributes
    ----------
    model
        One of `MODELS`.
    image_size, hidden_sizes
        Edge lengths of the square grids: of the image, and inside the encoder.
    group
        Name of the group; not used by the standard models.
    bias
        ``"invariant"``, ``"scalar"`` or ``"none"``.
    start
        As in `EquivariantLinear`.
    """

    model: str
    image_size: int
    hidden_sizes: tuple[int, int]
    group: str = "trivial"
    bias: BiasChoice = "invariant"
    start: Start = "reference"

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ModelError(f"unknown model {self.model!r}: choose {', '.join(MODELS)}")
        sizes = (self.image_size, *self.hidden_sizes)
        if len(sizes) != 3 or not all(type(size) is int and 1 <= size <= 1024 for size in sizes):
            raise ModelError(f"sizes {sizes} are not an image size and two hidden sizes")
        if self.bias not in get_args(BiasChoice):
            raise ModelError(f"bias {self.bias!r}: choose {', '.join(get_args(BiasChoice))}")
        if self.start not in get_args(Start):
            raise ModelError(f"start {self.start!r}: choose {', '.join(get_args(Start))}")

    @property
    def is_equivariant(self) -> bool:
        """Whether the model is built on bases."""
        return self.model.startswith("equivariant")

    @property
    def grids(self) -> list[str]:
        """Shapes along the network: image, hidden, latent, hidden, image."""
        image, hidden, latent = (f"{size}x{size}" for size in (self.image_size, *self.hidden_sizes))
        return [image, hidden, latent, hidden, image]


class Autoencoder(nn.Module):
    """image -> encoder -> latent -> decoder -> image, on flattened images (batch, pixels)."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, images: Tensor) -> Tensor:
        """(batch, pixels) -> (batch, pixels)."""
        reconstruction: Tensor = self.decoder(self.encoder(images))
        return reconstruction


class AttentionEncoder(nn.Module):
    """h from the inner encoder, joined by its own attention-pooled orbit, then ELU."""

    def __init__(
        self, inner: nn.Module, pool: InvariantAttentionPool, combine: EquivariantCombine
    ) -> None:
        super().__init__()
        self.inner = inner
        self.pool = pool
        self.combine = combine
        self.activation = nn.ELU()

    def forward(self, images: Tensor) -> Tensor:
        """(batch, pixels) -> (batch, latent)."""
        h = self.inner(images)
        latent: Tensor = self.activation(self.combine(h, self.pool(h)))
        return latent

    def attention(self, images: Tensor) -> Tensor:
        """The attention weights over the group, (batch, |G|)."""
        return self.pool.attention(self.inner(images))


BasisKey = tuple[str | None, str]


def bases_needed(config: AutoencoderConfig) -> list[BasisKey]:
    """The (input, output) shapes of the bases that a model is built on; input None: invariants."""
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


def basis_file(folder: str | Path, group: str, key: BasisKey) -> Path:
    """Where the pipeline keeps a basis below ``folder``."""
    input_, output = key
    kind = "invariant" if input_ is None else "equivariant"
    return basis_path(Path(folder) / kind, group, output, input_)


def load_bases(config: AutoencoderConfig, folder: str | Path) -> dict[BasisKey, Basis]:
    """The bases that a model needs, from their files.

    Raises
    ------
    BasisFileError
        If one is missing, damaged, or of another problem, naming the command that makes it.
    """
    return {
        key: load_basis_for(
            basis_file(folder, config.group, key), config.group, output=key[1], input=key[0]
        )
        for key in bases_needed(config)
    }


def build_autoencoder(config: AutoencoderConfig, bases: Mapping[BasisKey, Basis]) -> Autoencoder:
    """An autoencoder at its random start, from the bases of `load_bases`."""
    grids = config.grids
    if not config.is_equivariant:
        sizes = [int(grid.partition("x")[0]) ** 2 for grid in grids]
        layers: list[nn.Module] = [nn.Linear(a, b) for a, b in itertools.pairwise(sizes)]
        return Autoencoder(
            nn.Sequential(layers[0], nn.ELU(), layers[1], nn.ELU()),
            nn.Sequential(layers[2], nn.ELU(), layers[3]),
        )

    def linear(position: int) -> EquivariantLinear:
        input_, output = grids[position], grids[position + 1]
        bias: Bias = (
            bases[None, output]
            if config.bias == "invariant"
            else ("scalar" if config.bias == "scalar" else None)
        )
        return EquivariantLinear(bases[input_, output], bias, config.start)

    first = nn.Sequential(linear(0), nn.ELU(), linear(1))
    encoder: nn.Module
    latent = grids[2]
    if config.model == "equivariant_attention":
        invariants = bases[None, latent]
        encoder = AttentionEncoder(
            first,
            InvariantAttentionPool(invariants),
            EquivariantCombine(
                bases[latent, latent],
                invariants,
                bias=None if config.bias == "none" else config.bias,
                start=config.start,
            ),
        )
    else:
        encoder = first.append(nn.ELU())
    return Autoencoder(encoder, nn.Sequential(linear(2), nn.ELU(), linear(3)))


def save_autoencoder(
    model: Autoencoder,
    config: AutoencoderConfig,
    bases: Mapping[BasisKey, Basis],
    path: str | Path,
) -> None:
    """Write weights to ``path`` (safetensors) and the config beside it (JSON).

    The config records each basis by its content hash. Raises `WriteError`.
    """
    weights = Path(path)
    record: dict[str, Any] = asdict(config) | {
        "parameters": sum(p.numel() for p in model.parameters()),
        "bases": {
            basis_file("", config.group, key).as_posix(): content_sha256(basis)
            for key, basis in bases.items()
        },
    }
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    with writing(weights) as temporary:
        temporary.write_bytes(safetensors.torch.save(state))
    write_text(weights.with_suffix(".json"), json.dumps(record, indent=2) + "\n")


def load_autoencoder(
    path: str | Path, folder: str | Path = "bases"
) -> tuple[Autoencoder, AutoencoderConfig]:
    """A trained autoencoder from its weights, its config and the basis files in ``folder``.

    Raises
    ------
    ModelError
        If weights or config are missing or damaged, or a basis is not the one trained on.
    BasisFileError
        As `load_bases`.
    """
    weights = Path(path)
    config, hashes = _read_config(weights.with_suffix(".json"))
    bases = load_bases(config, folder)
    for key, basis in bases.items():
        name = basis_file("", config.group, key).as_posix()
        if hashes.get(name) != content_sha256(basis):
            raise ModelError(
                f"{weights} was trained on another {name} than the one in {folder}: "
                f"train again with 'equibasis train {config.model}'"
            )
    try:
        content = _read_regular(weights)
        _check_enough(config, len(content))
        model = build_autoencoder(config, bases)
        state = safetensors.torch.load(content)
        _check_numbers(state, model.state_dict())
        model.load_state_dict(state)
    except (safetensors.SafetensorError, *_UNREADABLE) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ModelError(
            f"cannot load {weights} ({reason}): make it with 'equibasis train {config.model}'"
        ) from error
    return model.eval(), config


# What reading a file that was damaged or made up may raise.
_UNREADABLE = (OSError, ValueError, LookupError, TypeError, RuntimeError, MemoryError)

_MOST_CONFIG_BYTES = 2**20


def _read_regular(path: Path, most_bytes: int | None = None) -> bytes:
    with open_regular(path) as file:
        content = file.read(-1 if most_bytes is None else most_bytes + 1)
    if most_bytes is not None and len(content) > most_bytes:
        raise ValueError(f"more than {most_bytes:,} bytes")
    return content


def _check_enough(config: AutoencoderConfig, available: int) -> None:
    """Refuse a config whose plain layers are larger than the weights, before they are made."""
    if config.is_equivariant:
        return  # no larger than their bases
    sizes = [int(grid.partition("x")[0]) ** 2 for grid in config.grids]
    needed = 4 * sum((a + 1) * b for a, b in itertools.pairwise(sizes))
    if needed > available:
        raise ValueError(f"{needed:,} bytes of weights are needed, the file has {available:,}")


def _check_numbers(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    for name, tensor in state.items():
        if name in expected and tensor.dtype != expected[name].dtype:
            raise ValueError(f"{name} is of {tensor.dtype}, not {expected[name].dtype}")
        if not tensor.isfinite().all():
            raise ValueError(f"{name} holds numbers that are not finite")


def _read_config(path: Path) -> tuple[AutoencoderConfig, dict[str, str]]:
    try:
        record = json.loads(_read_regular(path, _MOST_CONFIG_BYTES).decode())
        if not isinstance(record, dict):
            raise TypeError("not an object")
        names = set(AutoencoderConfig.__dataclass_fields__)
        if unknown := record.keys() - names - {"parameters", "bases"}:
            raise ValueError(f"unknown key {min(unknown)!r}")
        fields = {name: record[name] for name in AutoencoderConfig.__dataclass_fields__}
        if not isinstance(fields["hidden_sizes"], list):
            raise TypeError("hidden_sizes is no list")
        if not isinstance(fields["group"], str) or not fields["group"].isprintable():
            raise TypeError("group is no name")
        fields["hidden_sizes"] = tuple(fields["hidden_sizes"])
        if type(record["parameters"]) is not int:
            raise TypeError("parameters is no whole number")
        return AutoencoderConfig(**fields), _hashes(record["bases"])
    except _UNREADABLE as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"cannot read {path} ({type(error).__name__}: {reason}): make it with "
            f"'equibasis train {path.stem}'"
        ) from error


def _hashes(record: object) -> dict[str, str]:
    if not isinstance(record, dict) or not all(isinstance(each, str) for each in record.values()):
        raise TypeError("bases is no mapping of names to hashes")
    return record
