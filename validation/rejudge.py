"""``instantstyle validate dist``: checks a bundle's files and judges its stored measurements again. Nothing is run, nothing is written."""

import tomllib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from ..recipe.limits import Limits, LimitTable
from ..recipe.recipe import parse_recipe
from ..system.errors import InstantStyleError
from .integrity import verify
from .judge.entries import status_of
from .judge.fallback import fallbacks, held_to
from .judge.gate import exit_code
from .judge.verdict import judge
from .report.blame import blamed
from .report.report import print_verdict
from .results.bundle import RECIPE, Bundle, BundleArtifact
from .results.bundle_file import read_bundle


def rejudge(dist: Path, limits_file: Path | None, console: Console | None = None) -> int:
    """Prints the verdict and gives the exit code: 0 if all required artifacts passed, 1 otherwise.

    Args:
        dist: a folder that ``instantstyle release`` made.
        limits_file: TOML with ``[limits]`` and ``[limits.<target>]``, alone or in a recipe; by default the limits that are stored.
        console: where to print.

    Raises:
        ArtifactError: the bundle is not what was built (see ``integrity.verify``).
        InstantStyleError: the limits cannot be read.
    """
    bundle = read_bundle(dist)
    verify(bundle, dist)
    if limits_file is not None:
        table = read_limits(limits_file, (artifact.target for artifact in bundle.artifacts))
        bundle = with_limits(bundle, table, parse_recipe(dist / RECIPE).quantize.fallback == "float")
    print_verdict(bundle, console or Console(), blamed(bundle, dist))
    return exit_code(bundle)


def read_limits(path: Path, built: Iterable[str]) -> LimitTable:
    """The limits of a TOML file.

    Args:
        built: the targets in the bundle; limits may be for these and for any target that exists.

    Raises:
        InstantStyleError: no such file, no TOML, no ``[limits]``, an unknown limit or an unknown target.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InstantStyleError(f"{path}: cannot be read ({error})") from error
    except tomllib.TOMLDecodeError as error:
        raise InstantStyleError(f"{path}: not valid TOML: {error}") from error
    if "limits" not in content:
        found = f"only {', '.join(content)}" if content else "nothing"
        raise InstantStyleError(f"{path}: there is no table [limits] in it, {found}")
    table = LimitTable.parse(content["limits"], str(path))
    _check_names(table, set(built), path)
    return table


def _check_names(table: LimitTable, built: set[str], path: Path) -> None:
    """A limit for a name that nothing has would silently limit nothing."""
    from ..targets.registry import targets

    registered = targets()
    known = built | registered.keys() | {f"{name}-{precision}" for name, target in registered.items() for precision in target.precisions}
    for name in table.overrides:
        if name not in known:
            raise InstantStyleError(f"{path}: [limits.{name}]: there is no target '{name}'; known are {', '.join(sorted(known))}")


def with_limits(bundle: Bundle, table: LimitTable, falls_back: bool) -> Bundle:
    """The bundle as it would be with other limits; ``falls_back`` if its recipe lets another precision take the place of int8."""
    artifacts = tuple(
        _judged_again(each, table.of(each.target, held_to(each.name, each.precision, bundle.built_instead))) for each in bundle.artifacts
    )
    return replace(bundle, artifacts=artifacts, fallbacks=fallbacks(artifacts, bundle.levels) if falls_back else ())


def _judged_again(artifact: BundleArtifact, limits: Limits) -> BundleArtifact:
    if artifact.measurements is None:
        return replace(artifact, limits=limits)
    failures = judge(artifact.measurements, limits)
    return replace(artifact, limits=limits, failures=failures, status=status_of(artifact.measurements, failures))
