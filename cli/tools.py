"""What is installed, calibration tables, the network, the cache."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .app import AsJson, CacheFolder, RecipeFile, app, cache_app, calibration_app, model_app


@app.command()
def doctor(
    as_json: AsJson = False,
    install: Annotated[
        str | None, typer.Option("--install", metavar="TARGET", help="Make an environment of its own for a target, with its packages.")
    ] = None,
) -> None:
    """Say what is installed, which targets can emit and run here, and the command for what is missing."""
    from .doctor import as_dict, as_text, examine

    if install is not None:
        from ..targets.environments.install import install as make
        from ..targets.registry import get_target

        make(get_target(install).name)
        return
    health = examine()
    print(json.dumps(as_dict(health), indent=2) if as_json else as_text(health))


@calibration_app.command("export")
def calibration_export(
    recipe: RecipeFile,
    output: Annotated[Path, typer.Option("--out", "-o", help="The JSON file to write.")],
    cache: CacheFolder = None,
) -> None:
    """Calibrate as the recipe says and write the table."""
    from ..export.keep import export_calibration

    export_calibration(recipe, output, cache)


@calibration_app.command("diff")
def calibration_diff(
    a: Annotated[Path, typer.Argument(help="A calibration table.")],
    b: Annotated[Path, typer.Argument(help="Another.")],
    tolerance: Annotated[float, typer.Option("--tolerance", min=0.0, help="Relative difference of scales to overlook.")] = 0.01,
) -> None:
    """Compare two calibration tables. Exit code 1 if a tensor or a scale differs."""
    from ..calibration.diff import describe, diff_tables
    from ..calibration.table import CalibrationTable

    difference = diff_tables(CalibrationTable.load(a), CalibrationTable.load(b), tolerance)
    print(describe(difference))
    differs = difference.only_in_a or difference.only_in_b or difference.changed or difference.sign_changed
    raise typer.Exit(1 if differs else 0)


@model_app.command("summary")
def model_summary(
    checkpoint: Annotated[Path | None, typer.Option("--checkpoint", help="Of other widths; default: the 12 M reference.")] = None,
    as_json: AsJson = False,
) -> None:
    """Parameters, multiply-accumulates, activations and bytes of each part at 512x512."""
    from .summary import summarise

    rows = summarise(checkpoint)
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return
    print(f"{'part':<26}{'parameters':>12}{'GMACs':>9}{'M activations':>15}{'float32 MB':>12}{'int8 MB':>9}")
    for row in rows:
        sizes = f"{row.float32_bytes / 1e6:>12.2f}{row.int8_bytes / 1e6:>9.2f}"
        print(f"{row.name:<26}{row.parameters:>12,}{row.macs / 1e9:>9.2f}{row.activations / 1e6:>15.2f}{sizes}")


@cache_app.command("clear")
def cache_clear(cache: CacheFolder = None) -> None:
    """Remove the cache; the next release does everything again."""
    from ..export.cache.store import Store
    from ..export.session import DEFAULT_CACHE

    folder = cache or DEFAULT_CACHE
    print(f"{folder}: {Store(folder).clear():,} bytes freed")
