"""Commands on bases: solve, sweep, inspect, verify, show, diff, export, import."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from pathlib import Path

import click

from equibasis.console import EXISTING, FILE, examples, fail
from equibasis.errors import EquibasisError, printable

# Names of the solvers, as `equibasis.solvers` has them, which help and completion do not import.
SOLVERS = ("auto", "orbits", "projector", "svd", "kernel", "dense")


@click.command(
    epilog=examples(
        "equibasis solve c4.h5 --group c4 --input 14x14 --output 6x6",
        "equibasis solve bias.h5 --group c4 --output 6x6",
        "equibasis solve so3.h5 --group so3 --input 'V*V' --output V --explain",
    ),
)
@click.argument("out", type=FILE)
@click.option(
    "--group",
    metavar="GROUP",
    required=True,
    help="A name: trivial, c2, c4, d1, d2, d4, p4, p4m, o or oh; z{n}, shifts; s{n}, permutations; "
    "c{n}, D4h, so3, so1,3 and others, of matrices. A product, such as z14*z14. A YAML or JSON "
    "file of generators. Or your own as module:object, of a module that is installed or in the "
    "current folder.",
)
@click.option(
    "--input",
    "input_",
    metavar="SPACE",
    help="The input, such as 14x14.  [default: none, for invariant vectors]",
)
@click.option("--output", metavar="SPACE", required=True, help="The output, such as 6x6.")
@click.option(
    "--solver",
    metavar="NAME",
    default="auto",
    show_default=True,
    shell_complete=lambda context, parameter, typed: [n for n in SOLVERS if n.startswith(typed)],
    help=f"{', '.join(SOLVERS[:-1])} or {SOLVERS[-1]}. All give the same basis.",
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
    """Solve for a basis and write it to the file OUT.

    With --input, the equivariant maps from input to output; without, the invariant vectors of
    the output.

    A SPACE is a grid, 14x14; fields on it, 14x14:vector; channels, 3*14x14; a representation of the
    group, V; sums, tensor products and powers of these, '3*14x14 + 1', 'V*V', 'V**3', 'sym(V, 2)',
    'dual(V)'. All of them, and all groups, are in
    https://github.com/equibasis/equibasis/blob/main/docs/spaces.md.
    """
    from equibasis.artifact.store import save_basis
    from equibasis.files import check_writable
    from equibasis.solvers import explanation, find_solver, problem, solve_space

    check_writable(out)
    chosen = find_solver(solver)
    start = time.perf_counter()
    space = problem(group, input=input_, output=output, workers=workers)
    if explain:
        click.echo(explanation(space, chosen))
    basis = solve_space(space, chosen)
    seconds = time.perf_counter() - start
    save_basis(basis, out)
    what = f"{space}, rank {basis.rank} (solver {basis.solver}, {seconds:.2g} s)"
    click.echo(f"{printable(out)}: {what}")


@click.command(
    epilog=examples("equibasis sweep crystals.yaml --dry-run", "equibasis sweep crystals.yaml"),
)
@click.argument("file", type=FILE, metavar="SWEEP.yaml")
@click.option("--out", type=FILE, help="The folder to write.  [default: SWEEP without .yaml]")
@click.option("--scheduler", help="A Dask scheduler whose workers solve, such as tcp://HOST:8786.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Processes of this machine that solve.  [default: all cores]",
)
@click.option(
    "--memory-limit",
    help="What a worker may take, such as 2GB.  [default: its share of this machine; in a cluster, "
    "its own limit]",
)
@click.option("--skip", is_flag=True, help="Leave out what cannot be solved, such as 14x14 of so3.")
@click.option("--dry-run", is_flag=True, help="Print what is known beforehand, and solve nothing.")
def sweep(
    file: Path,
    out: Path | None,
    scheduler: str | None,
    workers: int | None,
    memory_limit: str | None,
    skip: bool,
    dry_run: bool,
) -> None:
    """Solve all that SWEEP.yaml lists; exit 1 if some fail.

    It lists groups, problems such as 'V**2 -> V' (or inputs and outputs, each with each), and
    perhaps solvers. Written are a basis file for each and index.csv; times are noted beside the
    folder. Started again it goes on: files that are there, and hold what is asked for, are kept.
    """
    from equibasis.artifact.cache import parse_size
    from equibasis.sweep.engines import dask_cluster, own_processes
    from equibasis.sweep.jobs import read_sweep
    from equibasis.sweep.report import forecast_table, verdict
    from equibasis.sweep.run import check_fits, only_sweep, plan, run
    from equibasis.symmetry.workers import cores

    if scheduler is not None and workers is not None:
        raise click.UsageError("--scheduler has workers of its own: leave --workers out")
    limit = None if memory_limit is None else parse_size(memory_limit)
    jobs = read_sweep(file)
    folder = out or file.with_suffix("")
    if folder.exists() and not folder.is_dir():
        raise click.UsageError(f"{printable(folder)} is no folder: give another one by --out")
    start = time.perf_counter()
    count = min(workers or cores(), len(jobs))
    with (
        contextlib.nullcontext() if dry_run else only_sweep(folder),
        own_processes(count) if scheduler is None else dask_cluster(scheduler) as engine,
    ):
        planned = plan(jobs, folder, engine, limit)
        if dry_run:
            from equibasis.show.tables import print_table

            print_table(forecast_table(planned))
        if not skip:
            check_fits(planned)
        if dry_run:
            return
        results = run(planned, engine)
    failed = [name for name, result in results.items() if result.status == "failed"]
    for name in failed:
        click.echo(printable(f"{jobs[name]}: FAILED: {results[name].reason}"), err=True)
    line = verdict(planned, results, time.perf_counter() - start)
    if failed:
        sys.exit(fail(line, 1))
    click.echo(printable(line))


@click.command(epilog=examples("equibasis inspect c4.h5"))
@click.argument("files", type=FILE, nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: an object, or a list of them.")
def inspect(files: tuple[Path, ...], as_json: bool) -> None:
    """Tell what is in basis FILES, side by side."""
    from equibasis.artifact.store import describe

    descriptions = [describe(file) for file in files]
    if as_json:
        click.echo(json.dumps(descriptions if len(files) > 1 else descriptions[0], indent=2))
        return
    from equibasis.show.tables import description_table, print_table

    print_table(description_table(descriptions))


@click.command(epilog=examples("equibasis verify c4.h5 bias.h5"))
@click.argument("files", type=EXISTING, nargs=-1, required=True)
def verify(files: tuple[Path, ...]) -> None:
    """Prove basis FILES; exit 1 if one does not hold.

    From nothing but the files: equivariance, rank, orthonormality, hashes. Prints a line for each
    file.
    """
    from equibasis.artifact.store import verify_file
    from equibasis.artifact.verification import is_proved_exact

    failed = False
    for file in files:
        name = printable(file)
        try:
            basis, checks = verify_file(file)
        except EquibasisError as error:
            failed = True
            reason = str(error).removeprefix(f"{name}: ")
            click.echo(f"{name}: FAILED: {reason}", err=True)
            continue
        exactly = ", proved in whole numbers" if is_proved_exact(basis) else ""
        click.echo(
            f"{name}: ok: {basis.space}, rank {basis.rank}, orthonormal to "
            f"{checks.orthonormality_error:.1g}, equivariant to {checks.equivariance_error:.1g}"
            f"{exactly}"
        )
    if failed:
        sys.exit(1)


@click.command(
    epilog=examples(
        "equibasis show c4.h5", "equibasis show c4.h5 --view vectors --count 8 --out c4.svg"
    ),
)
@click.argument("file", type=FILE)
@click.option("--out", type=FILE, help="A .png or .svg to write.  [default: show it here]")
@click.option(
    "--view",
    type=click.Choice(["orbits", "vectors"]),
    help="All orbits at once, or single basis vectors.  [default: orbits for maps that have them]",
)
@click.option(
    "--count", type=click.IntRange(min=1), help="Basis vectors to show.  [default: 16, if they fit]"
)
def show(file: Path, out: Path | None, view: str | None, count: int | None) -> None:
    """Draw the basis of FILE, in the terminal or as a picture.

    Orbits are drawn in colours, basis vectors as images, or as lines where they are no images.
    """
    from equibasis.artifact.store import load_basis

    if view == "orbits" and count is not None:
        raise click.UsageError("--count is for --view vectors: leave one out")
    if out is not None:
        from equibasis.show.figures import basis_figure, check_ending, orbits_figure, save_figure

        check_ending(out)  # before FILE is read, so that slips show at once
    basis = load_basis(file)
    if view is None:
        has_orbits = basis.of_orbits and basis.kind == "equivariant"
        view = "orbits" if has_orbits and count is None else "vectors"
    if out is not None:
        save_figure(orbits_figure(basis) if view == "orbits" else basis_figure(basis, count), out)
        click.echo(printable(out))
    else:
        from equibasis.show.terminal import print_basis, print_orbits

        print_orbits(basis) if view == "orbits" else print_basis(basis, count)


@click.command(epilog=examples("equibasis diff c4.h5 other.h5"))
@click.argument("a", type=FILE)
@click.argument("b", type=FILE)
def diff(a: Path, b: Path) -> None:
    """Compare the subspaces of two basis files; exit 1 if they differ.

    Prints the largest principal angle between them, in radians.
    """
    from equibasis.artifact.store import content_sha256, load_basis
    from equibasis.solvers.angle import subspace_angle
    from equibasis.solvers.basis import TOLERANCE

    first, second = load_basis(a), load_basis(b)
    shapes = [(each.output_shape, each.input_shape) for each in (first, second)]
    if shapes[0] != shapes[1] or first.rank != second.rank:
        click.echo(
            f"different {'ranks' if shapes[0] == shapes[1] else 'spaces'}: {first.space}, rank "
            f"{first.rank}; {second.space}, rank {second.rank}"
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


@click.command(epilog=examples("equibasis export c4.h5 c4.npz"))
@click.argument("file", type=FILE)
@click.argument("out", type=FILE)
def export(file: Path, out: Path) -> None:
    """Write basis FILE as OUT for other programs.

    OUT ends in .npz (NumPy and SciPy), .mtx (Matrix Market) or .safetensors.
    """
    from equibasis.artifact.export import export_basis, find_format
    from equibasis.artifact.store import load_basis

    find_format(out)  # before FILE is read, so that slips show at once
    basis = load_basis(file)
    reader = export_basis(basis, out)
    click.echo(
        f"{printable(out)}: {basis.space}, a {basis.space.dimension} x {basis.rank} matrix for "
        f"{reader}"
    )


@click.command(
    "import",
    epilog=examples("h5repack -f GZIP=9 c4.h5 small.h5", "equibasis import small.h5 c4_again.h5"),
)
@click.argument("file", type=FILE)
@click.argument("out", type=FILE)
def import_(file: Path, out: Path) -> None:
    """Make OUT of a basis FILE that another program has rewritten.

    OUT is a file that all commands read. FILE may be what h5repack, h5copy, h5py, PyTables or
    AnnData made of a basis file: compressed, chunked, or of another HDF5. It is read through the
    HDF5 library, in a process of its own.
    """
    from equibasis.artifact.normalise import import_basis
    from equibasis.artifact.store import content_sha256

    basis = import_basis(file, out)
    told = f"{basis.space}, rank {basis.rank}, content {content_sha256(basis)[:16]}"
    click.echo(f"{printable(out)}: {told}")
