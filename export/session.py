"""A pipeline with its cache, its display and its log."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..recipe.recipe import Recipe
from ..system.progress import make_display
from ..system.silence import quiet_libraries
from .cache.pipeline import Pipeline
from .cache.store import Store

DEFAULT_CACHE = Path(".instantstyle/cache")
LOG = "build.log"


def cache_folder(recipe: Recipe, option: Path | None) -> Path:
    """Where stages are kept: the option, the recipe's, or ``.instantstyle/cache`` in the current folder."""
    return (option or recipe.cache or DEFAULT_CACHE).absolute()


@contextmanager
def session(root: Path, as_json: bool = False, remeasure: bool = False) -> Iterator[Pipeline]:
    """A pipeline whose display alone reaches the screen; libraries write to the log in the cache."""
    with quiet_libraries(root / LOG) as screen:
        display = make_display(as_json, screen)
        try:
            store = Store(root, display.notice)
            store.clean()
            yield Pipeline(store, display, remeasure=frozenset({"validate"} if remeasure else ()))
        finally:
            display.close()
