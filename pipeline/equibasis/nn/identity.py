"""What weights are of: a name and a hash in every ``state_dict``, checked whenever one is loaded.

Coefficients mean something only with their basis, and those of another one may be as many. So a
module says in its state which spaces and which matrices of the group its parameters belong to.
"""

from __future__ import annotations

import abc
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from equibasis.errors import ModelError
from equibasis.nn.buffers import ExactBuffers
from equibasis.nn.interface import FeatureSpace
from equibasis.symmetry.representations import Representation

_KEY = "_extra_state"

# The number stands for what coefficients mean: the canonical basis, its order and its scale.
# It is raised when one of these changes, so that weights from before are refused.
_HASH, _ANY_HASH = ", sha256/2 ", ", sha256"
_DIGITS = 32
_MOST_TEXT = 200

# Entries are rounded before they are hashed, as their last bits differ between machines. The offset
# keeps 1/2, 1/4 and the like away from where rounding turns.
_PRECISION, _OFFSET = 1e6, 0.137


class IdentifiedWeights(ExactBuffers, abc.ABC):
    """A module whose ``state_dict`` says which basis its weights are of, and refuses others.

    It does so as torch's extra state: no parameter and no buffer, so that it takes no part in
    training, casting, averaging or export, while ``torch.save`` and safetensors keep it. Numbers
    that torch would cast without their meaning, such as complex ones, are refused as well.

    `EquivariantSequential` loads all of its layers or none. A plain `torch.nn.Sequential` has
    loaded those before the one that refuses, as it has where sizes differ: torch tells a module
    of its own weights only.
    """

    domain: FeatureSpace
    codomain: FeatureSpace
    _identity: str | None = None

    @abc.abstractmethod
    def weights_of(self) -> tuple[str, tuple[FeatureSpace, ...], str]:
        """Return the kind of layer, the spaces of its weights, and how many or which they are."""

    def extra_repr(self) -> str:
        """Group and spaces, for ``repr``."""
        return self.domain.to(self.codomain)

    def identity(self) -> str:
        """Describe the weights, as in ``EquivariantLinear c4: 6x6 -> 3x3, rank 81, sha256 …``.

        The hash is over the matrices of the group on the spaces, in any order of its elements; the
        names are there to be read. Neither the mode nor the solver counts.
        """
        if self._identity is None:
            kind, spaces, rest = self.weights_of()
            digest = hashlib.sha256(f"{kind} {rest}".encode())
            for features in spaces:
                digest.update(f" {features.dimension} {features.complete}".encode())
            for element in sorted(_elements(*(features.representation for features in spaces))):
                digest.update(element)
            ends = " -> ".join(str(features.space) for features in spaces)
            text = f"{kind} {spaces[0].group}: {ends}, {rest}"
            if len(text) > _MOST_TEXT:
                text = text[:_MOST_TEXT] + "…"
            self._identity = f"{text}{_HASH}{digest.hexdigest()[:_DIGITS]}"
        return self._identity

    def get_extra_state(self) -> Tensor:
        """`identity` as UTF-8, uint8."""
        array = np.frombuffer(self.identity().encode(), dtype=np.uint8)
        return torch.from_numpy(array.copy())

    def set_extra_state(self, state: Tensor) -> None:
        """Nothing: it has been compared before, and is not to change."""

    def check_weights(self, state: Mapping[str, Any], prefix: str) -> None:
        """Raise `ModelError` unless the weights in a state are of this basis, or there are none.

        Nor may they be numbers of another kind, here or in modules inside.
        """
        _check_kinds(self, state, prefix)
        found = state.get(prefix + _KEY)
        if found is None:
            if any(name.startswith(prefix) for name in state):
                raise ModelError(
                    f"weights for {_readable(self.identity())} do not say which basis they are of "
                    f"(no {prefix + _KEY!r}), as older ones do not: make them anew, or where you "
                    "are sure, add that key with get_extra_state() of this layer"
                )
            return
        said = _text_of(found)
        if _HASH not in said and _ANY_HASH in said:
            of = said.partition(_ANY_HASH)[0]
            raise ModelError(
                f"weights of {of} are of an earlier equibasis, which ordered and scaled "
                "coefficients in another way: train them anew"
            )
        if _HASH not in said:
            raise ModelError(
                f"weights for {_readable(self.identity())} hold a damaged {prefix + _KEY!r}: it is "
                "not to be changed with the others"
            )
        if said[-_DIGITS:] == self.identity()[-_DIGITS:]:
            return
        of, here = _readable(said), _readable(self.identity())
        why = ", but the group acts there in another way" if of == here else ""
        raise ModelError(
            f"weights of {of} are not for {here}{why}: build the layer on the basis of its "
            "weights, or train it anew"
        )

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: Any, strict: bool, *rest: Any
    ) -> None:
        self.check_weights(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, *rest)


def check_all_weights(network: nn.Module, state: Mapping[str, Any], prefix: str) -> None:
    """`IdentifiedWeights.check_weights` for all of a network, before any of it is loaded."""
    _check_kinds(network, state, prefix)
    for name, module in network.named_modules(prefix=prefix.removesuffix(".")):
        if isinstance(module, IdentifiedWeights):
            module.check_weights(state, name + "." if name else "")


def _check_kinds(module: nn.Module, state: Mapping[str, Any], prefix: str) -> None:
    """Raise `ModelError` for numbers that torch would cast to others without a word.

    Averages of whole numbers, such as of batches seen, may be floats.
    """
    for name, own in (*module.named_parameters(), *module.named_buffers()):
        given = state.get(prefix + name)
        if not isinstance(given, Tensor) or given.dtype == own.dtype:
            continue
        dtype, here = (str(each.dtype).removeprefix("torch.") for each in (given, own))
        if not given.is_floating_point() and (own.is_floating_point() or given.is_complex()):
            raise ModelError(
                f"the weights {prefix + name!r} are {dtype}, and those of this "
                f"{type(module).__name__} {here}: give real floating-point numbers"
            )
        if own.is_floating_point() and not given.is_meta:
            finite = given.to(torch.float64).isfinite()
            if not given.to(own.dtype).isfinite()[finite].all():
                raise ModelError(
                    f"the weights {prefix + name!r} are {dtype} beyond what this "
                    f"{type(module).__name__} of {here} holds: cast it to {dtype} first"
                )


def _text_of(state: Any) -> str:
    """Read the identity of a state; averages of equal ones, which are floats, are rounded."""
    try:
        array = torch.as_tensor(state).detach().to("cpu", torch.float64).round()
        return bytes(array.to(torch.uint8).tolist()).decode()
    except (TypeError, ValueError, RuntimeError):
        return ""


def _readable(identity: str) -> str:
    text = identity.rpartition(_HASH)[0]
    return "".join(mark if mark.isprintable() else "?" for mark in text)[: _MOST_TEXT + 40]


def _elements(*representations: Representation) -> list[bytes]:
    """Hash each element: what it does on all the spaces, the same on every machine."""
    found = []
    for matrices in zip(*(rho.moves() for rho in representations), strict=True):
        digest = hashlib.sha256()
        for matrix in matrices:
            entries = matrix.tocoo()
            values = np.rint(entries.data * _PRECISION + _OFFSET)
            order = np.lexsort((entries.col, entries.row))
            order = order[values[order] != 0]
            for part in (entries.row, entries.col, values):
                digest.update(part[order].astype("<i8").tobytes())
        found.append(digest.digest())
    return found
