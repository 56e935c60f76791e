"""The application that commands are registered with, and the options that they share."""

import importlib.metadata
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup


class DisguisedError(Exception):
    """A defect that Python or typer would take for the end of a command."""


class Commands(TyperGroup):
    """Typer takes any EOFError, such as that of a file that is cut short, for a user who aborts at a prompt, with exit code 1."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        try:
            return super().invoke(ctx)
        except EOFError as error:
            raise DisguisedError(f"EOFError: {error}") from error


app = typer.Typer(
    cls=Commands,
    help="Exports style-transfer and other image-to-image PyTorch models to phones and edge devices, and proves that they still work.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
calibration_app = typer.Typer(help="Calibration tables: export them, compare them.", no_args_is_help=True)
model_app = typer.Typer(help="The InstantStyle network.", no_args_is_help=True)
cache_app = typer.Typer(help="The cache of finished stages.", no_args_is_help=True)
app.add_typer(calibration_app, name="calibration")
app.add_typer(model_app, name="model")
app.add_typer(cache_app, name="cache")

RecipeFile = Annotated[Path, typer.Argument(help="The recipe, a TOML file, or the name of one in the package (mobile).", metavar="RECIPE")]
CacheFolder = Annotated[
    Path | None,
    typer.Option("--cache", metavar="FOLDER", help="Where finished stages are kept. Default: the recipe's, or .instantstyle/cache."),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for machines.")]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"instantstyle {importlib.metadata.version('instantstyle')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    pass
