"""The stages of the experiment as commands, beside those of the library."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from pathlib import Path

import click

from equibasis.console import Group, run
from equibasis.errors import naming_extras

PARAMETERS = click.option(
    "--params",
    "parameters",
    type=click.Path(path_type=Path, readable=False),  # what opens it says why it cannot
    default=Path("params.yaml"),
    show_default=True,
    help="The file of parameters.",
)


class _Commands(Group):
    """The stages, and all commands of the library, which is imported when one of them is called."""

    def list_commands(self, context: click.Context) -> list[str]:
        from equibasis.cli import commands as library

        stages = super().list_commands(context)
        self.sections = {"Stages": stages, **library.sections}
        return [*stages, *library.list_commands(context)]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        stage = super().get_command(context, name)
        if stage is not None:
            return stage
        from equibasis.cli import commands as library

        return library.get_command(context, name)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """Run the stages of the pipeline, and the commands of equibasis, of this very tree.

    Run in the project's folder, as `dvc repro` does.
    """


def main() -> None:
    """Entry point of ``python pipeline``."""
    run(commands, "python pipeline")


def _stage(name: str | None = None) -> Callable[[Callable[[], None]], click.Command]:
    """Make a command of a function: it runs the stage of that name, its docstring is the help."""

    def command(described: Callable[[], None]) -> click.Command:
        module = described.__name__

        @functools.wraps(described)
        def run_stage(parameters: Path, **arguments: str) -> None:
            with naming_extras(f"stage {module}", "pipeline"):
                from digits.parameters import load_parameters

                loaded = load_parameters(parameters)  # before torch is imported: slips show at once
                importlib.import_module(f"digits.stages.{module}").run(loaded, *arguments.values())

        return commands.command(name or module)(PARAMETERS(run_stage))

    return command


@_stage()
def prepare() -> None:
    """Fetch digits, write data/digits.h5.

    Of the source, and resized to the size, that the parameters name.
    """


@_stage()
@click.argument("kind", type=click.Choice(["equivariant", "invariant"]), metavar="KIND")
def bases() -> None:
    """Solve the bases, write bases/KIND/.

    KIND is equivariant, for the maps that the autoencoders need, or invariant, for their biases.
    """


@_stage()
@click.argument("model")
def kernels() -> None:
    """Solve kernels, write bases/kernels/MODEL/.

    MODEL is one of classify.models in the file of parameters.
    """


@_stage()
@click.argument("model")
def train() -> None:
    """Train MODEL, write it to models/.

    MODEL is an autoencoder: standard, standard_augmented, equivariant or equivariant_attention; or
    a classifier: one of classify.models in the file of parameters.
    """


@_stage()
def evaluate() -> None:
    """Write reports/metrics.json.

    Errors of each autoencoder on upright and on rotated test digits, and its breach of symmetry.
    """


@_stage()
def report() -> None:
    """Draw reports/figures/, print a table.

    The bases, the digits as each autoencoder sees them, and the results of all autoencoders.
    """


@_stage("score")
def evaluate_classifiers() -> None:
    """Write reports/classification.json.

    How many test digits each classifier of classify.run knows, upright, turned and mirrored, and
    its breaches of invariance; and what it takes each digit for, in reports/predictions/.
    """


@_stage("tabulate")
def report_classifiers() -> None:
    """Draw classifiers, print a table.

    Their kernels, their answers, and the results of all classifiers of classify.run.
    """
