"""Build wheel and source distribution, install the wheel in fresh environments, and use it.

Plain, and with each extra asked for, on each Python; one environment at a time, as those with
PyTorch take gigabytes. `make dist-check PYTHONS="python3.10 python3.13"` asks for all:

    python tests/dist.py --extra nn --extra pipeline --python python3.10 --python python3.13
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]

# What must be in the source distribution beside the library.
SHIPPED = (
    *("CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md"),
    *("constraints.txt", "dvc.lock", "dvc.yaml", "params.yaml", "ruff.toml", ".dvc/config"),
    *("docs/spaces.md", "docs/images/comparison.png", "groups/README.md", "benchmarks/solve.py"),
    *("data/.gitignore", "reports/metrics.json", "examples/sweep/sweep.yaml"),
    *("pipeline/__main__.py", "pipeline/digits/cli.py", "tests/conftest.py", "tests/dist.py"),
)

PLAIN = """
import importlib.util
import equibasis as eb
basis = eb.solve("c4", input="14x14", output="6x6")
eb.save_basis(basis, "c4.h5")
assert eb.content_sha256(eb.load_basis("c4.h5")) == eb.content_sha256(basis)
assert len(basis) == 1764 and "<img" in basis._repr_html_()
assert eb.solve("so3", input="V*V", output="V").rank == 1
assert not [name for name in ("torch", "dvc", "sklearn") if importlib.util.find_spec(name)]
"""

NN = """
import torch
import equibasis as eb
from equibasis.nn import EquivariantLinear
basis, bias = eb.solve("c4", input="14x14", output="6x6"), eb.solve("c4", output="6x6")
layer, x = EquivariantLinear(basis, bias), torch.rand(2, 14, 14)
y, turned = (layer(each.flatten(1)).reshape(2, 6, 6) for each in (x, x.rot90(dims=(1, 2))))
assert torch.allclose(turned, y.rot90(dims=(1, 2)), atol=1e-5)
y.square().sum().backward()
assert all(each.grad.abs().sum() > 0 for each in layer.parameters())
"""

# A project of its own: a stage makes a basis, the audit proves it, and Python reads it from there.
PIPELINE = """
import os, subprocess, sys
import equibasis as eb
os.environ.update(GIT_CONFIG_GLOBAL=os.devnull, DVC_NO_ANALYTICS="true")
os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
for role in ("AUTHOR", "COMMITTER"):
    os.environ.update({f"GIT_{role}_NAME": "Ada", f"GIT_{role}_EMAIL": "ada@example.org"})
def run(*command):
    subprocess.run(command, check=True, cwd="project")
os.mkdir("project")
run("git", "init", "--quiet")
run("dvc", "init", "--quiet")
solve = "equibasis solve d4.h5 --group d4 --input 8x8 --output 4x4"
run("dvc", "stage", "add", "--quiet", "--run", "--name", "basis", "--outs", "d4.h5", solve)
run("git", "add", ".")
run("git", "commit", "--quiet", "--message", "A basis")
run("equibasis", "audit")
assert eb.load_basis("d4.h5", repo="project").rank == 136
"""

CODE = {"": PLAIN, "nn": NN, "pipeline": NN + PIPELINE}

COMMANDS = (
    "--version",
    "solve d4.h5 --group d4 --input 8x8 --output 4x4",
    "verify c4.h5 d4.h5",
    "inspect d4.h5",
    "show d4.h5",
    "show d4.h5 --out d4.png",
    "audit -h",
)

# Stages of the experiment, which the source distribution has and the wheel has not.
STAGES = ("prepare", "bases equivariant", "bases invariant", "kernels cnn_d4")


def run(*command: object, folder: Path = REPOSITORY) -> None:
    """Run a command quietly, no modules of ours on its path; show all it said where it fails."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [*map(str, command)],
        cwd=folder,
        env=clean,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}\nexit status {done.returncode}")


def build(folder: Path) -> tuple[Path, Path]:
    """Both distributions, the source one and the wheel from it, checked."""
    run(sys.executable, "-m", "build", "--outdir", folder)
    (source,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    run(sys.executable, "-m", "twine", "check", "--strict", source, wheel)
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    if missing := [name for name in SHIPPED if name not in names]:
        sys.exit(f"{source.name} lacks {', '.join(missing)}: mend MANIFEST.in")
    return source, wheel


def check(source: Path, wheel: Path, extra: str, python: str, folder: Path) -> None:
    """Install the wheel and use it, in a folder where the project is not."""
    run(python, "-m", "venv", folder / "venv")
    bin_ = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    wanted = f"{wheel}[{extra}]" if extra else wheel
    run(bin_ / "python", "-m", "pip", "install", "--quiet", wanted, folder=folder)
    run(bin_ / "python", "-m", "pip", "check", folder=folder)
    run(bin_ / "python", "-c", CODE[extra], folder=folder)
    if not extra:
        for command in COMMANDS:
            run(bin_ / "equibasis", *command.split(), folder=folder)
            run(bin_ / "python", "-m", "equibasis", *command.split(), folder=folder)
    if extra == "pipeline":
        shutil.unpack_archive(source, folder)
        experiment = folder / source.name.removesuffix(".tar.gz")
        for stage in STAGES:
            run(bin_ / "python", "pipeline", *stage.split(), folder=experiment)


def main() -> None:
    """Check the plain installation, and each extra asked for, on each Python."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--extra", action="append", default=[], choices=[name for name in CODE if name]
    )
    parser.add_argument("--python", action="append", help="[default: the one that runs this]")
    parser.add_argument("--out", type=Path, help="where both are built, and stay")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="equibasis-dist-") as name:
        source, wheel = build((asked.out or Path(name)).absolute())
        print(f"{wheel.name}: built, and its metadata hold", flush=True)
        for python in asked.python or [sys.executable]:
            for extra in ("", *asked.extra):
                folder = Path(name) / "installed"
                folder.mkdir()
                check(source, wheel, extra, python, folder)
                shutil.rmtree(folder)
                print(
                    f"{python}: {f'equibasis[{extra}]' if extra else 'equibasis'} works", flush=True
                )


if __name__ == "__main__":
    main()
