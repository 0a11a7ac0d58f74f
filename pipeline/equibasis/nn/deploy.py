"""Networks as plain torch: what runs, exports and loads without equibasis."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn

from equibasis.errors import ModelError
from equibasis.nn.convolution import Convolution
from equibasis.nn.interface import shown
from equibasis.nn.layers import EquivariantLinear

_PACKAGE = __name__.partition(".")[0]


def export(module: nn.Module) -> nn.Module:
    """Return a copy for inference, of torch's own modules and operations only, with equal outputs.

    Each `EquivariantLinear` becomes the `torch.nn.Linear` of its weight, which takes vectors alone,
    and each convolution the plain one, such as `torch.nn.Conv2d`; other modules of equibasis
    become a `torch.fx.GraphModule` of what they compute, what follows from parameters alone
    computed already; modules of others stay, as copies. The result is in evaluation mode. It
    loads where equibasis is not installed, and goes through ``torch.export.export``,
    ``torch.onnx.export`` and ``torch.jit.trace`` with any batch size.

    Parameters
    ----------
    module
        Any network, wherever in it the layers of equibasis are; left as it is.

    Raises
    ------
    ModelError
        If it is no torch module, or a function in it cannot be traced by `torch.fx`, as one that
        branches on values.
    """
    if not isinstance(module, nn.Module):
        raise ModelError(f"a torch module can be exported, not {shown(module)}")
    plain = copy.deepcopy(module).eval()
    with torch.no_grad():
        return _replaced(_replaced(plain, _plain_layer, {}), _traced, {})


def _replaced(
    module: nn.Module,
    replace: Callable[[nn.Module], nn.Module | None],
    done: dict[nn.Module, nn.Module],
) -> nn.Module:
    """Replace the outermost modules that ``replace`` has something for."""
    if module not in done:
        made = replace(module)
        done[module] = made or module
        if made is None:
            for name, child in module._modules.items():
                if child is not None:
                    module._modules[name] = _replaced(child, replace, done)
    return done[module]


def _plain_layer(module: nn.Module) -> nn.Module | None:
    """Make the plain layer of torch that a linear layer or convolution of ours is."""
    if isinstance(module, EquivariantLinear):
        return module.to_linear()
    return module.to_conv() if isinstance(module, Convolution) else None


def _traced(module: nn.Module) -> nn.Module | None:
    """Make the function that a module of ours computes."""
    if not _is_ours(module):
        return None

    class Tracer(fx.Tracer):  # local, so that what is traced does not refer to it when pickled
        def is_leaf_module(self, inner: nn.Module, name: str) -> bool:
            return not any(map(_is_ours, inner.modules()))

        def getattr(self, name: str, value: Any, cache: dict[str, fx.Proxy]) -> Any:
            return value  # a parameter is a number like others, so that folding takes place

    name = type(module).__name__
    try:
        graph = Tracer().trace(module)
    except fx.proxy.TraceError as error:
        raise ModelError(
            f"cannot export {name}: a function in it branches on values ({error}); "
            "make it a torch.nn.Module, which is kept whole"
        ) from error
    for node in graph.nodes:
        node.type = None  # an annotation as text, which torch 2.11 cannot save
    traced = fx.GraphModule(module, graph, name).eval()
    for path, buffer in traced.named_buffers():  # constants may be views of larger ones
        owner, _, attribute = path.rpartition(".")
        setattr(traced.get_submodule(owner), attribute, buffer.clone())
    return traced


def _is_ours(module: nn.Module) -> bool:
    return any(cls.__module__.partition(".")[0] == _PACKAGE for cls in type(module).__mro__)
