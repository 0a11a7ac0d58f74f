"""Training on several devices is that on one: the same steps, the same results, the same errors."""

from __future__ import annotations

import copy
import functools
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor, nn

import equibasis as eb
from digit_models import meaningless_digits
from digits.classifiers import classifier
from digits.config import ClassifierConfig, bases_needed
from digits.data import save_digits
from digits.devices import OneDevice, launch
from digits.fitting import Training
from digits.parameters import Train, load_parameters
from digits.stages import train
from equibasis.nn import EquivariantBatchNorm, normalization
from equibasis.nn.normalization import sum_over_processes
from projects import PARAMETERS, REPOSITORY, environment, stages_here

NAME = "standard_augmented"
EPOCHS = 40

# --- one device ----------------------------------------------------------------------------------


def test_one_device_needs_no_fabric_and_more_name_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    assert launch(Train(device="cpu"), lambda devices, x: (devices.world_size, x), 7) == (1, 7)
    for more in ({"devices": 2}, {"strategy": "ddp"}, {"precision": "bf16-mixed"}):
        with pytest.raises(eb.EquibasisError, match=r"lightning_fabric.*'equibasis\[cluster\]'"):
            launch(Train(device="cpu", **more), print)


def test_more_devices_than_there_are_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(eb.ParametersError, match=r"train\.devices is 2, and PyTorch finds 1 here"):
        launch(Train(device="cuda", devices=2), print)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    with pytest.raises(eb.ParametersError, match=r"train\.device is mps"):
        launch(Train(device="mps", strategy="ddp"), print)


# --- two processes of one project ----------------------------------------------------------------


def parameters(devices: int) -> dict[str, Any]:
    here = PARAMETERS["train"] | {"epochs": EPOCHS, "devices": devices}  # type: ignore[operator]
    return PARAMETERS | {"train": here}


def project(folder: Path, devices: int = 1) -> Path:
    """A project in which the last batch is of an odd number of digits."""
    for name in ("data", "models", "reports", ".equibasis/checkpoints"):
        (folder / name).mkdir(parents=True)
    save_digits(meaningless_digits(599, 100, 6), folder / "data" / "digits.h5")
    (folder / "params.yaml").write_text(yaml.safe_dump(parameters(devices)), encoding="utf-8")
    return folder


def results(folder: Path) -> dict[str, bytes]:
    """Weights and curves."""
    paths = [*folder.glob("models/*"), *folder.glob("reports/curves/**/*.tsv")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def assert_near(folder: Path, other: Path) -> None:
    """Weights differ by rounding alone, which Adam lets grow from step to step."""
    found, expected = (
        load_file(each / "models" / f"{NAME}.safetensors") for each in (folder, other)
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of projects, trained in part or as a whole, by one process or by two."""
    pytest.importorskip("lightning_fabric", reason="Lightning Fabric is not installed")
    base = tmp_path_factory.mktemp("fabric")
    with stages_here(project(base / "by one")):
        train.run(load_parameters(), NAME)
    with stages_here(project(base / "by one, then two")), pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "save_model", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train.run(load_parameters(), NAME)
    return base


@pytest.fixture(scope="module")
def killed(base: Path) -> subprocess.CompletedProcess[str]:
    """The command on two devices, one of whose processes is killed once there is a checkpoint."""
    folder = project(base / "by two, then one", devices=2)
    (folder / "pipeline").symlink_to(REPOSITORY / "pipeline")
    saved = folder / ".equibasis" / "checkpoints" / f"{NAME}.pt"
    command = [sys.executable, "pipeline", "train", NAME]
    with subprocess.Popen(
        command, cwd=folder, env=environment(folder), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        while not saved.exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.002)
        children = psutil.Process(process.pid).children()
        *_, last = [each for each in children if "spawn_main" in " ".join(each.cmdline())]
        last.kill()
        out, err = process.communicate(timeout=60)
        assert not psutil.wait_procs(children, timeout=10)[1]
    shutil.copytree(folder, base / "by two, then two", symlinks=True)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


@pytest.fixture(scope="module")
def together(base: Path, killed: object) -> tuple[dict[str, Any], eb.EquibasisError]:
    """What two processes found, in one go, and the error that the second of them ended with.

    They are forks, which need not import what this one has; those of the command are fresh ones.
    """
    from lightning_fabric import strategies

    forking = functools.partial(strategies.DDPStrategy, start_method="fork")
    project(base / "by two", devices=2)
    shutil.copytree(base / "by one, then two", base / "by one only", symlinks=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strategies, "DDPStrategy", lambda start_method, **options: forking(**options))
        with pytest.raises(eb.ModelError) as caught:
            launch(Train(device="cpu", devices=2), in_two_processes, str(base))
    return torch.load(base / "found.pt"), caught.value


def in_two_processes(devices: Any, base: str) -> None:
    found: dict[str, Any] = {}
    for folder in ("by two", "by two, then two", "by one, then two"):
        with stages_here(Path(base) / folder):
            train._train(devices, load_parameters(), NAME)
    torch.set_default_dtype(torch.float64)
    found["norms"] = {name: norms(devices, *NORMS[name]) for name in NORMS}
    found["trainings"] = {name: trainings(devices, name) for name in ("autoencoder", "classifier")}
    weights = nn.Linear(2, 2)
    training = Training(weights, torch.zeros(4, 2), lr=0.1, batch_size=2, seed=0, devices=devices)
    training.check_agreement()
    with torch.no_grad():
        weights.bias[devices.global_rank] += 1
    try:
        training.check_agreement()
    except eb.ModelError as error:
        found["disagreement"] = str(error)
    if devices.is_global_zero:
        torch.save(found, Path(base) / "found.pt")
    devices.barrier()
    if devices.global_rank == 1:
        raise eb.ModelError("the second process ends: so do all")
    devices.barrier()  # until the other comes, which it does not


# Group, space, shape of a batch, and how many of it the first process has.
NORMS = {
    "blocks of several sizes": ("c4", "3x3", (7, 9), 2),
    "equal orbits": ("c4", "2*regular", (6, 8), 3),
    "none for one process": ("c4", "2*4x4", (5, 32), 0),
    "more than one axis": ("d4", "3x3:vector", (4, 3, 18), 1),
}


def norms(devices: Any, group: str, space: str, shape: tuple[int, ...], first: int) -> list[Any]:
    """What batch norm makes of a batch in shares, and of the whole: (found, expected) each."""
    torch.manual_seed(0)
    norm = EquivariantBatchNorm(eb.solve(group, output=space))
    plain = copy.deepcopy(norm)
    x, factors = torch.randn(2, *shape)
    share = slice(first) if devices.is_global_zero else slice(first, None)
    whole, part = x.clone().requires_grad_(), x[share].clone().requires_grad_()
    y = norm(part)
    (y * factors[share]).square().sum().backward()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(normalization, "process_count", lambda: 1)
        expected = plain(whole)
        (expected * factors).square().sum().backward()
    pairs = [(y.detach(), expected.detach()[share]), (part.grad, whole.grad[share])]  # type: ignore[index]
    pairs += list(zip(norm.buffers(), plain.buffers(), strict=True))
    for parameter, same in zip(norm.parameters(), plain.parameters(), strict=True):
        pairs.append((sum_over_processes(parameter.grad), same.grad))  # type: ignore[arg-type]
    return pairs


def trainings(devices: Any, kind: str) -> list[Any]:
    """Weights and errors after training by both, and by one: (found, expected) each.

    The last batch has one image, and none for the second process.
    """
    images = torch.rand(13, 36, generator=torch.Generator().manual_seed(0))
    runs = []
    for each in (devices, OneDevice(torch.device("cpu"))):
        torch.manual_seed(1)
        labels, model = None, nn.Sequential(nn.Linear(36, 4), nn.ELU(), nn.Linear(4, 36))
        if kind == "classifier":
            config = ClassifierConfig("cnn", 6, "c4", (2, 2, 2))
            bases = {
                key: eb.solve("c4", input=key[0], output=key[1]) for key in bases_needed(config)
            }
            labels, model = torch.arange(13) % 10, classifier(config, bases)  # type: ignore[assignment]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(normalization, "process_count", lambda: each.world_size)  # noqa: B023
            run = Training(
                model, images, labels, lr=1e-3, batch_size=4, seed=3, augment=True, devices=each
            )
            errors = torch.tensor([run.epoch() for _ in range(3)])
        runs.append([errors, *model.state_dict().values()])
    return [
        (found, expected)
        for found, expected in zip(*runs, strict=True)
        if isinstance(found, Tensor)
    ]


def assert_all_near(pairs: list[tuple[Tensor, Tensor]]) -> None:
    assert len(pairs) > 4
    for found, expected in pairs:
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_batch_norm_takes_its_statistics_from_the_shares_of_all_processes(together: Any) -> None:
    for pairs in together[0]["norms"].values():
        assert_all_near(pairs)


def test_a_step_by_two_processes_is_the_step_of_the_whole_batch(together: Any) -> None:
    for pairs in together[0]["trainings"].values():
        assert_all_near(pairs)


def test_weights_that_differ_from_process_to_process_are_an_error(together: Any) -> None:
    assert "the processes have come to different weights" in together[0]["disagreement"]


def test_the_error_of_one_process_ends_all_and_is_told(together: Any) -> None:
    assert str(together[1]) == "the second process ends: so do all"


def test_a_process_that_is_killed_ends_the_command_with_one_line(killed: Any) -> None:
    assert killed.returncode == 2
    out, told = (  # PyTorch 2.8 has lines of its own
        [line for line in stream.splitlines() if not line.startswith("[Gloo]")]
        for stream in (killed.stdout, killed.stderr)
    )
    assert (out, len(told)) == ([], 1)
    assert told[0].startswith("equibasis: process 1 terminated with signal SIGKILL")


def test_training_killed_and_resumed_ends_as_if_it_had_not_been(
    base: Path, together: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert results(base / "by two, then two") == results(base / "by two")
    assert len(results(base / "by two")) == 4
    for folder, devices in (("by two, then one", 1), ("by one only", 1)):
        (base / folder / "params.yaml").write_text(yaml.safe_dump(parameters(devices)))
        with stages_here(base / folder):
            train.run(load_parameters(), NAME)
        assert "going on after epoch" in capsys.readouterr().out
    assert results(base / "by one only") == results(base / "by one")
    for folder in ("by two", "by two, then one", "by one, then two"):
        assert_near(base / folder, base / "by one")
