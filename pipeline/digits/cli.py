"""The stages of the experiment as commands, beside those of the library."""

from __future__ import annotations

import importlib
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
    """The stages of the pipeline, and the commands of equibasis, of this very tree.

    Run in the project's folder, as `dvc repro` does.
    """


def main() -> None:
    """Entry point of ``python pipeline``."""
    run(commands, "python pipeline")


def _run_stage(name: str, parameters: Path, *arguments: str) -> None:
    with naming_extras(f"stage {name}", "pipeline"):
        from digits.parameters import load_parameters

        loaded = load_parameters(parameters)  # before torch is imported, so that slips show at once
        importlib.import_module(f"digits.stages.{name}").run(loaded, *arguments)


@commands.command()
@PARAMETERS
def prepare(parameters: Path) -> None:
    """Fetch digits, write data/digits.h5.

    Of the source, and resized to the size, that the parameters name.
    """
    _run_stage("prepare", parameters)


@commands.command()
@click.argument("kind", type=click.Choice(["equivariant", "invariant"]), metavar="KIND")
@PARAMETERS
def bases(kind: str, parameters: Path) -> None:
    """Solve the bases, write bases/KIND/.

    KIND is equivariant, for the maps that the autoencoders need, or invariant, for their biases.
    """
    _run_stage("bases", parameters, kind)


@commands.command()
@click.argument("model")
@PARAMETERS
def kernels(model: str, parameters: Path) -> None:
    """Solve kernels, write bases/kernels/MODEL/.

    MODEL is one of classify.models in the file of parameters.
    """
    _run_stage("kernels", parameters, model)


@commands.command()
@click.argument("model")
@PARAMETERS
def train(model: str, parameters: Path) -> None:
    """Train MODEL, write it to models/.

    MODEL is an autoencoder: standard, standard_augmented, equivariant or equivariant_attention; or
    a classifier: one of classify.models in the file of parameters.
    """
    _run_stage("train", parameters, model)


@commands.command()
@PARAMETERS
def evaluate(parameters: Path) -> None:
    """Write reports/metrics.json.

    Errors of each autoencoder on upright and on rotated test digits, and its breach of symmetry.
    """
    _run_stage("evaluate", parameters)


@commands.command()
@PARAMETERS
def report(parameters: Path) -> None:
    """Draw reports/figures/, print a table.

    The bases, the digits as each autoencoder sees them, and the results of all autoencoders.
    """
    _run_stage("report", parameters)


@commands.command("score")
@PARAMETERS
def evaluate_classifiers(parameters: Path) -> None:
    """Write reports/classification.json.

    How many test digits each classifier of classify.run knows, upright, turned and mirrored, and
    its breaches of invariance; and what it takes each digit for, in reports/predictions/.
    """
    _run_stage("evaluate_classifiers", parameters)


@commands.command("tabulate")
@PARAMETERS
def report_classifiers(parameters: Path) -> None:
    """Draw classifiers, print a table.

    Their kernels, their answers, and the results of all classifiers of classify.run.
    """
    _run_stage("report_classifiers", parameters)
