"""Trained models on disk: weights (safetensors), and the config beside them (JSON)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
import safetensors.torch
from pydantic import StrictInt
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from digits.build import build_model
from digits.config import EXACT, KERNEL_SIZES, AutoencoderConfig, ClassifierConfig, ModelConfig
from digits.plain import Autoencoder
from equibasis.errors import ModelError, ParametersError, cannot_read
from equibasis.files import checked, open_regular, write_bytes, write_text

if TYPE_CHECKING:
    from digits.classifiers import Classifier


def save_model(
    model: nn.Module,
    config: ModelConfig,
    hashes: Mapping[str, str],
    path: str | Path,
) -> None:
    """Write weights to ``path`` (safetensors) and the config beside it (JSON).

    ``hashes`` are those of `build_model`, for the record. Raises `WriteError`.
    """
    weights = Path(path)
    record: dict[str, Any] = asdict(config) | {
        "parameters": sum(p.numel() for p in model.parameters()),
        "bases": dict(hashes),
    }
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    write_bytes(weights, safetensors.torch.save(state))
    write_text(weights.with_suffix(".json"), json.dumps(record, indent=2) + "\n")


def load_autoencoder(
    path: str | Path, folder: str | Path = "bases"
) -> tuple[Autoencoder, AutoencoderConfig]:
    """Return a trained autoencoder from its weights, its config and the basis files in ``folder``.

    Raises
    ------
    ModelError
        If weights or config are missing or damaged, or a basis is not the one trained on.
    BasisFileError
        As `build_model`.
    """
    return _load(path, folder, AutoencoderConfig)


def load_classifier(
    path: str | Path, folder: str | Path = "bases"
) -> tuple[Classifier, ClassifierConfig]:
    """Return a trained classifier, as `load_autoencoder`."""
    return _load(path, folder, ClassifierConfig)


def _load(path: str | Path, folder: str | Path, kind: type[ModelConfig]) -> tuple[Any, Any]:
    weights = Path(path)
    config, hashes = _read_config(weights.with_suffix(".json"), kind)
    try:
        content = _read_regular(weights)
        _check_enough(config, len(content))
        model, _ = build_model(config, folder, hashes)
        state = safetensors.torch.load(content)
        _check_numbers(state, model.state_dict())
        model.load_state_dict(state)
    except ModelError as error:
        raise ModelError(f"{weights}: {error}") from error
    except (safetensors.SafetensorError, *_UNREADABLE) as error:
        remedy = f"make it with 'python pipeline train {config.model}'"
        raise ModelError(cannot_read(weights, error, remedy)) from error
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


def _check_enough(config: ModelConfig, available: int) -> None:
    """Refuse a config whose layers are larger than the weights, before they are made."""
    if isinstance(config, ClassifierConfig):
        between = itertools.pairwise((1, *config.fields))
        kernels = zip(between, KERNEL_SIZES, strict=True)
        needed = 4 * sum(a * b * size**2 for (a, b), size in kernels)
    elif config.is_equivariant:
        return  # no larger than their bases
    else:
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


@dataclass(frozen=True, config=EXACT)
class _Noted:
    """What is noted of a model beside its config."""

    parameters: StrictInt
    bases: dict[str, str]


def _read_config(path: Path, kind: type[ModelConfig]) -> tuple[ModelConfig, dict[str, str]]:
    remedy = f"make it with 'python pipeline train {path.stem}'"
    try:
        record = dict(json.loads(_read_regular(path, _MOST_CONFIG_BYTES).decode()))
        config = {field.name: record.pop(field.name) for field in fields(kind)}
        return checked(path, config, kind), checked(path, record, _Noted).bases
    except ParametersError as error:
        raise ModelError(f"{error}: {remedy}") from error
    except _UNREADABLE as error:
        raise ModelError(cannot_read(path, error, remedy)) from error
