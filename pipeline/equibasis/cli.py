"""The ``equibasis`` command: arguments in, library calls, one line out when something is wrong.

Exit status: 0 fine, 1 a check failed, 2 wrong usage or input.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path

import click

from equibasis import __version__
from equibasis.errors import BasisFileError, EquibasisError

FILE = click.Path(path_type=Path)
PARAMETERS = click.option(
    "--params",
    "parameters",
    type=FILE,
    default=Path("params.yaml"),
    show_default=True,
    help="The file of parameters.",
)


def main() -> None:
    """Entry point: run a command; report any failure as one line on stderr."""
    sys.path.insert(0, str(Path.cwd()))  # where a user's own module:object is looked for
    try:
        status = commands.main(prog_name="equibasis", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        status = 2
    except click.ClickException as error:
        status = _fail(error.format_message())
    except EquibasisError as error:
        status = _fail(str(error))
    except MemoryError:
        status = _fail("out of memory: choose smaller shapes, or another --solver")
    except (KeyboardInterrupt, click.Abort):
        status = _fail("interrupted", 130)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone; nothing to say to them
        status = 1
    except Exception as error:
        if os.environ.get("EQUIBASIS_TRACEBACK"):
            raise
        status = _fail(
            f"{type(error).__name__}: {error} (unexpected: please report it, with what is shown "
            "when EQUIBASIS_TRACEBACK=1 is set)"
        )
    sys.exit(status)


def _fail(message: str, status: int = 2) -> int:
    click.echo("equibasis: " + " ".join(message.split()), err=True)
    return status


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__)
def commands() -> None:
    """Equivariant and invariant subspaces: solved once, exactly, and kept as files."""


@commands.command()
@click.argument("out", type=FILE)
@click.option(
    "--group",
    required=True,
    help="trivial, c2, c4, d1, d2, d4, p4, p4m, o, oh, z{n}, s{n}; a product such as z14*z14; a "
    "YAML or JSON file of generators; or your own as module:object.",
)
@click.option(
    "--input",
    "input_",
    help="Input space, such as 14x14 or '3*14x14 + 1'; none: invariants.",
)
@click.option("--output", required=True, help="Output space, such as 6x6.")
@click.option(
    "--solver",
    default="auto",
    show_default=True,
    help="auto, orbits, projector, svd or dense. All give the same basis.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Processes for the one-hot transforms.  [default: all cores, once the work is worth it]",
)
@click.option("--explain", is_flag=True, help="Say what is known beforehand, and why this solver.")
def solve(
    out: Path,
    group: str,
    input_: str | None,
    output: str,
    solver: str,
    workers: int | None,
    explain: bool,
) -> None:
    """Solve for a basis and write it to OUT.

    With --input, the equivariant maps from input to output; without, the invariant vectors of
    the output.
    """
    from equibasis.files import check_writable
    from equibasis.solvers import explanation, find_solver, problem, solve_space
    from equibasis.store import save_basis

    check_writable(out)
    chosen = find_solver(solver)
    start = time.perf_counter()
    space = problem(group, output, input_, workers)
    if explain:
        click.echo(explanation(space, chosen))
    basis = solve_space(space, chosen)
    seconds = time.perf_counter() - start
    save_basis(basis, out)
    click.echo(f"{out}: {space}, rank {basis.rank} (solver {basis.solver}, {seconds:.2g} s)")


@commands.command()
@click.argument("files", type=FILE, nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: an object, or a list of them.")
def inspect(files: tuple[Path, ...], as_json: bool) -> None:
    """Tell what is in basis FILES, side by side."""
    from equibasis.store import describe

    descriptions = [describe(file) for file in files]
    if as_json:
        click.echo(json.dumps(descriptions if len(files) > 1 else descriptions[0], indent=2))
        return
    from equibasis.tables import description_table, print_table

    print_table(description_table(descriptions))


@commands.command()
@click.argument("files", type=FILE, nargs=-1, required=True)
def verify(files: tuple[Path, ...]) -> None:
    """Recheck basis FILES from nothing but the files; exit 1 if one does not hold."""
    from tqdm import tqdm

    from equibasis.basis import verify_basis
    from equibasis.store import load_basis

    failed = False
    for file in tqdm(files, desc="verify", delay=2, disable=None, leave=False):
        if not os.path.exists(file):  # noqa: PTH110 - Path.exists raises where a name is too long
            raise BasisFileError(f"{file}: it does not exist: name a basis file")
        try:
            basis = load_basis(file)
            checks = verify_basis(basis)
        except EquibasisError as error:
            failed = True
            reason = str(error).removeprefix(f"{file}: ")
            click.echo(f"{file}: FAILED: {' '.join(reason.split())}", err=True)
            continue
        click.echo(
            f"{file}: ok: {basis.space}, rank {basis.rank}, orthonormal to "
            f"{checks.orthonormality_error:.1g}, equivariant to {checks.equivariance_error:.1g}"
        )
    if failed:
        sys.exit(1)


@commands.command()
@click.argument("file", type=FILE)
@click.option("--out", type=FILE, help="The picture to write.  [default: FILE's name, .png, here]")
@click.option("--count", type=click.IntRange(min=1), default=16, show_default=True)
def show(file: Path, out: Path | None, count: int) -> None:
    """Draw the first basis vectors of FILE as images."""
    from equibasis.figures import basis_figure, save_figure
    from equibasis.store import load_basis

    basis = load_basis(file)
    target = out or Path(f"{file.stem}.png")
    save_figure(basis_figure(basis, count), target)
    click.echo(target)


@commands.command()
@click.argument("a", type=FILE)
@click.argument("b", type=FILE)
def diff(a: Path, b: Path) -> None:
    """Compare the subspaces of two basis files; exit 1 if they differ.

    Prints the largest principal angle between them, in radians.
    """
    from equibasis.basis import TOLERANCE, subspace_angle
    from equibasis.store import content_sha256, load_basis

    first, second = load_basis(a), load_basis(b)
    for what, one, other in (
        (
            "spaces",
            (first.input_shape, first.output_shape),
            (second.input_shape, second.output_shape),
        ),
        ("ranks", first.rank, second.rank),
    ):
        if one != other:
            click.echo(
                f"different {what}: {first.space}, rank {first.rank}; "
                f"{second.space}, rank {second.rank}"
            )
            sys.exit(1)
    angle = subspace_angle(first, second)
    same = angle <= TOLERANCE
    identical = content_sha256(first) == content_sha256(second)
    click.echo(
        f"{'same subspace' if same else 'different subspaces'}: largest principal angle "
        f"{angle:.3g} rad; {'identical' if identical else 'different'} content"
    )
    if not same:
        sys.exit(1)


def _run_stage(name: str, parameters: Path, *arguments: str) -> None:
    from equibasis.stages.parameters import load_parameters

    loaded = load_parameters(parameters)  # before torch is imported, so that slips show at once
    importlib.import_module(f"equibasis.stages.{name}").run(loaded, *arguments)


@commands.command()
@PARAMETERS
def prepare(parameters: Path) -> None:
    """Stage: fetch the digits, resize them, write data/digits.h5."""
    _run_stage("prepare", parameters)


@commands.command()
@click.argument("model")
@PARAMETERS
def train(model: str, parameters: Path) -> None:
    """Stage: train MODEL on the prepared digits, write its weights to models/.

    MODEL is standard, standard_augmented, equivariant or equivariant_attention.
    """
    _run_stage("train", parameters, model)


@commands.command()
@PARAMETERS
def evaluate(parameters: Path) -> None:
    """Stage: measure every trained model, write reports/metrics.json."""
    _run_stage("evaluate", parameters)


@commands.command()
@PARAMETERS
def report(parameters: Path) -> None:
    """Stage: draw reports/figures/ and print the table of results."""
    _run_stage("report", parameters)


if __name__ == "__main__":
    main()
