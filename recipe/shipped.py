"""Files that come with the package: recipes by name, checkpoints. In a clone they are the folders at the root."""

from pathlib import Path

from ..system.errors import RecipeError
from .complaints import suggestion

ROOT = Path(__file__).resolve().parents[1]


def recipe_file(given: Path) -> Path:
    """A recipe by its path, or, where there is no such file, by its name: ``mobile`` is ``recipes/mobile.toml`` of the package.

    Raises:
        RecipeError: a name that no recipe has.
    """
    if given.suffix or given.exists() or len(given.parts) != 1:
        return given
    if str(given) not in names():
        raise RecipeError(f"{given}: no such recipe{suggestion(str(given), names())}; with the package come {', '.join(names())}")
    return ROOT / "recipes" / f"{given}.toml"


def checkpoint_file(given: Path) -> Path:
    """A checkpoint by its path, or, where there is no such file, the package's own of that name."""
    shipped = ROOT / "checkpoints" / given.name
    return shipped if not given.exists() and given.parent.name == "checkpoints" and shipped.is_file() else given


def names() -> tuple[str, ...]:
    """Of the recipes that can be released by name."""
    return tuple(sorted(path.stem for path in (ROOT / "recipes").glob("*.toml") if not path.stem.startswith("train")))
