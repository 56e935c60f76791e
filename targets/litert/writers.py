"""How PyTorch's operators are written: one function for each, found by the operator.

A writer takes the graph, the node, and its arguments with values and constants in place of nodes; it returns a value.
"""

from collections.abc import Callable
from typing import Any

import torch

from .flatbuffer import Value

Writer = Callable[..., Value]
WRITERS: dict[Any, Writer] = {}
# Those that pass values on: they take integers as they come, and give them on the same grid.
PASSING: set[Any] = set()

aten = torch.ops.aten


def writes(*operators: Any, passing: bool = False) -> Callable[[Writer], Writer]:
    """Registers a writer."""

    def register(writer: Writer) -> Writer:
        WRITERS.update(dict.fromkeys(operators, writer))
        if passing:
            PASSING.update(operators)
        return writer

    return register
