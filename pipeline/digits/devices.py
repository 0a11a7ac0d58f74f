"""Where a model is trained: on one device by PyTorch alone, or on several by Lightning Fabric."""

from __future__ import annotations

import contextlib
import inspect
import logging
import multiprocessing.connection
import os
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, Union

import torch
from torch import Tensor, nn
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

from digits.parameters import Train
from equibasis.errors import EquibasisError, ParametersError, naming_extras

if TYPE_CHECKING:
    from lightning_fabric import Fabric

# Both have the attributes and methods of `OneDevice`.
Devices: TypeAlias = Union["OneDevice", "Fabric"]

T = TypeVar("T")

# What Fabric has chosen, and whom it ends, is not told: neither here nor by processes it starts.
for talkative in ("lightning_fabric.utilities", "torch.multiprocessing.spawn"):
    logging.getLogger(talkative).setLevel(logging.ERROR)


class OneDevice:
    """As much of `lightning_fabric.Fabric` as training asks for, in one process on one device."""

    world_size = 1
    global_rank = 0
    is_global_zero = True

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def setup(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[Any, Any]:
        """Return the model and the optimizer, wrapped for these devices: here not at all."""
        return model, optimizer

    def backward(self, loss: Tensor) -> None:
        """Add the derivatives of a loss to the gradients."""
        loss.backward()

    def all_reduce(self, tensor: Tensor, *, reduce_op: str) -> Tensor:
        """Return the sum over all processes, of which there is one."""
        return tensor


def choose_device(name: str) -> torch.device:
    """``cpu``, ``cuda`` or ``mps``; ``auto`` is an accelerator if there is one, else the CPU.

    Raises
    ------
    ParametersError
        If the device is not there.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(device for device, found in there.items() if found)
    if not there[name]:
        raise ParametersError(
            f"train.device is {name}, and PyTorch finds none here: set it to auto or cpu"
        )
    return torch.device(name)


def launch(train: Train, function: Callable[..., T], *arguments: Any) -> T:
    """``function(devices, *arguments)`` on the devices that the parameters name.

    By default that is a call in this process. On several devices each has a process of its own,
    which imports the module of the function; returned is what the first of them returns. If one of
    them ends with an error, all do.

    Raises
    ------
    ParametersError
        If there are no such devices.
    MissingExtraError
        If Lightning Fabric is needed, and not installed.
    EquibasisError
        As the function; or if one of the processes was killed.
    """
    device = choose_device(train.device)
    ddp = train.devices > 1 or train.strategy == "ddp"
    if not ddp and train.precision == "32-true":
        return function(OneDevice(device), *arguments)
    if ddp and device.type == "mps":
        raise ParametersError("train.device is mps, which is one device: set it to cpu for more")
    if device.type == "cuda" and train.devices > (there := torch.cuda.device_count()):
        raise ParametersError(
            f"train.devices is {train.devices}, and PyTorch finds {there} here: set it to {there}"
        )
    fabric = _fabric(train, device, ddp)
    if not ddp:
        return fabric.launch(function, *arguments)
    with _meeting_point(), _ending_together():
        return fabric.launch(partial(_in_process, function=function, arguments=arguments))


def _in_process(devices: Fabric, function: Callable[..., T], arguments: tuple[Any, ...]) -> T:
    """Call the function in a process that ends, whatever it does, when the one above has ended."""
    above = multiprocessing.parent_process()
    assert above is not None

    def watch() -> None:
        multiprocessing.connection.wait([above.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    return function(devices, *arguments)


def _fabric(train: Train, device: torch.device, ddp: bool) -> Fabric:
    """Fabric for devices of this machine, each with a fresh process where there are several."""
    with naming_extras("another train.devices, train.strategy or train.precision than by default"):
        from lightning_fabric import Fabric
        from lightning_fabric.plugins.environments import LightningEnvironment
        from lightning_fabric.strategies import DDPStrategy
    # The processes compute equal buffers from equal numbers: none is sent at every step.
    known = inspect.signature(nn.parallel.DistributedDataParallel).parameters
    sent = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    buffers: dict[str, Any] = {sent: False}
    spawning = DDPStrategy(
        cluster_environment=LightningEnvironment(), start_method="spawn", **buffers
    )
    return Fabric(
        accelerator=device.type,
        devices=train.devices,
        strategy=spawning if ddp else "auto",
        precision=train.precision,
    )


@contextlib.contextmanager
def _meeting_point() -> Iterator[None]:
    """Have processes that are started meet at a port that this one holds: nobody else has it."""
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    settings = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "NODE_RANK": "0",
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # all are its clients, none serves it
    }
    before = {name: os.environ.pop(name, None) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, text in before.items():
            del os.environ[name]
            if text is not None:
                os.environ[name] = text


@contextlib.contextmanager
def _ending_together() -> Iterator[None]:
    """Raise what the first process to fail has raised; where this one is to end, end all."""
    try:
        yield
    except ProcessRaisedException as error:
        last_line = str(error).strip().rpartition("\n")[2]
        kind, _, message = last_line.partition(": ")
        module, _, name = kind.rpartition(".")
        if module != EquibasisError.__module__:
            raise RuntimeError(last_line) from error
        raise getattr(sys.modules[module], name)(message) from error
    except ProcessExitedException as error:
        raise EquibasisError(
            f"{error}, and the others with it: the same command goes on from the last checkpoint"
        ) from error
    except BaseException:
        for process in multiprocessing.active_children():
            process.kill()
        raise
