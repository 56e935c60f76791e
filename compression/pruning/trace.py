"""Follows channels through a network as it runs, whatever its code is: which entries of which parameters belong together.

Every axis of every tensor carries, entry by entry, the unit it stands for, or nothing where its size is fixed (an image's colours, height
and width). A parameter starts with units of its own on every axis; each ATen operation says what becomes of them (``rules_*.py``): a
sum joins the units of its operands, a convolution joins its input's with those of its weight's input axis and goes on with the
output axis, a reshape of channels into groups makes the entries of all groups go together. Dependency graphs of layers (Fang et al. 2023,
arXiv:2301.12900) do the same for whole layers; operations see scales, gates and shuffles in between, too.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_leaves

from . import rules_arithmetic, rules_places, rules_shape, rules_statistics  # noqa: F401 - they register their rules
from .books import ChannelTrace
from .location import located
from .rules import RULES, Call, unknown
from .rules_arithmetic import pointwise


def follow(trace: ChannelTrace, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Computes ``func`` and keeps the books."""
    schema = func._schema.arguments
    named = {a.name: value for a, value in zip(schema, args, strict=False)} | kwargs
    for argument in schema:
        if argument.name not in named and argument.has_default_value():
            named[argument.name] = argument.default_value
    call = Call(func, named)
    found = RULES.get(call.name) or (pointwise if torch.Tag.pointwise in func.tags else unknown)
    return found(trace, call)


@dataclass(frozen=True)
class Pass:
    """A traced forward pass."""

    trace: ChannelTrace
    outputs: tuple[Tensor, ...]


def trace(module: nn.Module, inputs: tuple[Tensor, ...], turns: Mapping[int, int], silent: np.ndarray | None = None) -> Pass:
    """Runs ``module`` once; whatever it raises is raised. ``silent`` is of the units of an earlier pass with the same turns."""
    with ExitStack() as stack:
        location = stack.enter_context(located(module))
        stack.enter_context(torch.no_grad())
        # Attention as products and softmax, not as one fused operation.
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        fast = torch.backends.mha.get_fastpath_enabled()
        stack.callback(torch.backends.mha.set_fastpath_enabled, fast)
        torch.backends.mha.set_fastpath_enabled(False)
        traced = ChannelTrace(location, turns, silent, follow)
        traced.store(module)
        with traced:
            result = module(*inputs)
    outputs = tuple(value for value in tree_leaves(result) if isinstance(value, Tensor))
    for output in outputs:
        for ids in traced.of(output):
            if ids is not None:
                traced.units.freeze(ids, "its channels are an output of the graph")
    return Pass(traced, outputs)
