"""A server of processes: each command is a fork of it, without seconds of imports.

    python tests/fork_server.py --serve FOLDER PID    serve until the process PID has ended
    python tests/fork_server.py FOLDER COMMAND ...    be one of the commands that it serves

A server has imported what commands take from elsewhere, and a second one, begun with the first
stage that is asked for, PyTorch as well. A command gets arguments, a folder, an environment and
streams of its own, and imports this project's code from the tree that these name.
"""

# pathlib takes longer to import than all that a command imports here.
# ruff: noqa: PTH100, PTH101, PTH109, PTH118, PTH119, PTH120, PTH123

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

SERVED = ("dvc", "equibasis", "python")
PLAIN = (
    "celery.app.amqp",
    "click",
    "concurrent.futures.process",
    "configobj",
    "dulwich.porcelain",
    "dulwich.worktree",
    "dvc._debug",
    "dvc.cachemgr",
    "dvc.cli.parser",
    "dvc.commands.repro",
    "dvc.data_cloud",
    "dvc.dirs",
    "dvc.repo.artifacts",
    "dvc.repo.brancher",
    "dvc.repo.datasets",
    "dvc.repo.experiments",
    "dvc.repo.experiments.queue.celery",
    "dvc.repo.experiments.queue.tempdir",
    "dvc.repo.experiments.run",
    "dvc.repo.graph",
    "dvc.repo.index",
    "dvc.repo.metrics",
    "dvc.repo.open_repo",
    "dvc.repo.plots",
    "dvc.repo.stage",
    "dvc.repo.trie",
    "dvc.rwlock",
    "dvc.ui.table",
    "dvc.utils.strictyaml",
    "dvc_data.hashfile.db.local",
    "dvc_data.hashfile.status",
    "dvc_data.index.checkout",
    "dvc_data.index.fetch",
    "dvc_data.index.push",
    "dvc_task.app",
    "dvc_task.proc",
    "fsspec.implementations.memory",
    "h5py",
    "kombu.transport.filesystem",
    "networkx",
    "platformdirs.unix",
    "pydantic.main",
    "pygit2",
    "pyparsing",
    "rich.console",
    "rich.table",
    "ruamel.yaml",
    "scipy.sparse.csgraph",
    "scmrepo.git",
    "yaml",
)
OF_STAGES = (
    "dvclive",
    "matplotlib.backends.backend_agg",
    "matplotlib.pyplot",
    "mlxtend.data",
    "safetensors.torch",
    "sklearn.model_selection",
    "torch._dynamo",
    "torchvision.transforms",
)


# --- who asks -------------------------------------------------------------------------------------


def begin(
    server: str,
    command: Sequence[str],
    folder: str,
    environment: Mapping[str, str],
    streams: Sequence[int],
) -> tuple[int, socket.socket]:
    """Begin a command that is served: its process, and what its status can be read from."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(os.path.join(server, "stages" if _is_stage(command) else "plain"))
    asked = json.dumps([*command, folder, dict(environment)]).encode()
    socket.send_fds(connection, [b"%10d" % len(asked)], list(streams))
    connection.sendall(asked)
    return status(connection), connection


def status(connection: socket.socket) -> int:
    """The next number that is told: a process, and then its status when it has ended.

    A status below 0 is minus the number of the signal that ended the process. Raises `TimeoutError`
    after the connection's timeout, if it has one.
    """
    told = b""
    while not told.endswith(b"\n"):
        part = connection.recv(1)
        if not part:
            raise ConnectionError("the server has gone")
        told += part
    return int(told)


def _is_stage(command: Sequence[str]) -> bool:
    """Whether this is ``python pipeline ...``."""
    return command[0] == "python" and command[1:] and os.path.basename(command[1]) == "pipeline"


def _be(server: str, *command: str) -> NoReturn:
    """One of the programs that are served, to whoever started this process."""
    if command[0] == "python" and not _is_stage(command):
        os.execv(sys.executable, [sys.executable, *command[1:]])  # which is as quick
    _, connection = begin(server, command, os.getcwd(), os.environ, (0, 1, 2))
    ended = status(connection)
    if ended < 0:
        import signal

        signal.signal(-ended, signal.SIG_DFL)
        os.kill(os.getpid(), -ended)
    sys.exit(ended)


# --- the server -----------------------------------------------------------------------------------


def _serve(folder: str, master: int) -> None:
    """Fork for each command while the process ``master`` runs; returns in these forks."""
    import select
    import shutil
    import signal

    for program in SERVED:
        path = os.path.join(folder, program)
        with open(path, "w", encoding="utf-8") as file:
            be = f"'{sys.executable}' -IS '{os.path.abspath(__file__)}' '{folder}' {program}"
            file.write(f'#!/bin/sh\nexec {be} "$@"\n')
        os.chmod(path, 0o755)
    _warm()
    _load(PLAIN)
    listeners = [_listener(folder, kind) for kind in ("plain", "stages")]
    if os.fork():
        os._exit(0)  # who started it knows that it serves now
    os.setsid()
    signal.signal(signal.SIGCHLD, lambda *_: None)
    ended, asking = _woken(), {}
    while _runs(master):
        ready = select.select([*listeners, ended], (), (), 1.0)[0]
        if ended in ready:
            _tell_ended(ended, asking)
        elif listeners[0] in ready:
            connection = listeners[0].accept()[0]
            if _begin(connection, asking):
                return
        elif ready:  # the first stage
            stages = listeners.pop()
            if os.fork() == 0:
                _load(OF_STAGES)
                listeners, ended, asking = [stages], _woken(), {}
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def _load(names: Sequence[str]) -> None:
    import atexit
    import gc
    import importlib

    for name in names:
        with contextlib.suppress(ImportError):  # other versions have other modules
            importlib.import_module(name)
    atexit._clear()  # of what was imported: it would take long at the end of each command
    gc.freeze()


def _warm() -> None:
    """What every command of DVC builds first, and keeps: its parser, and the patterns of YAML."""
    from dvc.cli.parser import get_main_parser
    from dvc.utils.serialize import dumps_yaml, loads_yaml

    get_main_parser()
    loads_yaml(dumps_yaml({"a": [1]}))


def _listener(folder: str, kind: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.path.join(folder, kind))
    listener.listen(100)
    return listener


def _woken() -> socket.socket:
    """What can be read when a child has ended."""
    import signal

    woken, waking = socket.socketpair()
    waking.setblocking(False)
    signal.set_wakeup_fd(waking.detach())
    return woken


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def _tell_ended(ended: socket.socket, asking: dict[int, socket.socket]) -> None:
    """Tell those who asked for commands how these have ended."""
    ended.recv(1000)
    while True:
        try:
            process, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if process == 0:
            return
        if process in asking:  # or else it is the other server
            _tell(asking.pop(process), os.waitstatus_to_exitcode(status))


def _tell(connection: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # whoever asked may have gone
        connection.sendall(b"%d\n" % number)


def _begin(connection: socket.socket, asking: dict[int, socket.socket]) -> bool:
    """Begin what was asked for; returns whether this is the process that is to be it."""
    import signal

    size, streams, _, _ = socket.recv_fds(connection, 10, 3)
    with connection.makefile("rb") as asked:
        *command, folder, environment = json.loads(asked.read(int(size)))
    if process := os.fork():
        for stream in streams:
            os.close(stream)
        asking[process] = connection
        _tell(connection, process)
        return False
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for each in (connection, *asking.values()):
        each.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = command
    sys.path[:1] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    return True


# --- the commands ---------------------------------------------------------------------------------


def _run() -> None:
    """Run ``sys.argv``, as a shell and Python would."""
    import runpy
    import types

    program, *sys.argv = sys.argv
    sys.modules.pop("sitecustomize", None)
    with contextlib.suppress(ImportError):
        import sitecustomize  # noqa: F401
    if program == "dvc":
        from dvc.cli import main

        sys.argv.insert(0, program)
        sys.exit(main())
    elif program == "equibasis":
        sys.path.insert(0, os.path.dirname(sys.executable))
        from equibasis.cli import main

        sys.argv.insert(0, program)
        sys.exit(main())
    elif sys.argv[0] == "-c":
        sys.path.insert(0, "")
        sys.modules["__main__"] = types.ModuleType("__main__")
        exec(sys.argv.pop(1), vars(sys.modules["__main__"]))
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")


def _end() -> NoReturn:
    """Run the command and end, but for taking all modules apart, which takes long."""
    import atexit
    import threading
    import traceback

    status: object = 0
    try:
        _run()
    except SystemExit as exit_:
        status = exit_.code or 0
    except BaseException:
        traceback.print_exc()
        status = 1
    if not isinstance(status, int):
        print(status, file=sys.stderr)
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status & 255)


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        _serve(sys.argv[2], int(sys.argv[3]))
        _end()
    _be(*sys.argv[1:])
