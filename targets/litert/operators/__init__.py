"""The operators, one family a file. ``load`` registers them all."""

from typing import Any

from ..writers import WRITERS, Writer


def load() -> dict[Any, Writer]:
    """All writers."""
    from . import convolution, elementwise, matrices, normalization, reduction, resizing, shape  # noqa: F401  (they register)

    return WRITERS
