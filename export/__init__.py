"""From a recipe to a bundle: load, prune, tune, calibrate, capture, emit, measure. As a function, it exports a model without a recipe."""

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """``instantstyle.export`` is this package and the function of the Python API."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        """As ``instantstyle.export.api.export``."""
        from .api import export

        return export(*args, **options)


sys.modules[__name__].__class__ = _Callable
