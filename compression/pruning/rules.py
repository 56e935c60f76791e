"""What becomes of channels in each ATen operation: the register of rules, and what they share.

A rule computes the operation and notes what the axes of its result stand for. Of an operation without a rule nothing is known: the channels
that enter it stay. ``rules_*.py`` have the rules, by what operations do.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves

from .books import Axes, ChannelTrace
from .units import Ids


@dataclass(frozen=True)
class Call:
    """One operation and its arguments by their names in its schema."""

    func: Any
    args: dict[str, Any]

    @property
    def name(self) -> str:
        """Without namespace and overload; in place as out of place."""
        return self.func._schema.name.split("::")[-1].rstrip("_")

    @property
    def tensors(self) -> list[Tensor]:
        """All that enter, in order."""
        return [value for value in tree_leaves(list(self.args.values())) if isinstance(value, Tensor)]

    def run(self, /, **changed: Any) -> Any:
        """The operation, with some arguments changed."""
        args = self.args | changed
        schema = self.func._schema.arguments
        positional = [args[a.name] for a in schema if not a.kwarg_only and a.name in args]
        return self.func(*positional, **{a.name: args[a.name] for a in schema if a.kwarg_only and a.name in args})


Rule = Callable[[ChannelTrace, Call], Any]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Registers the rule of these operations."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


def unknown(trace: ChannelTrace, call: Call) -> Any:
    """Freezes all that enters."""
    for value in call.tensors:
        for ids in trace.of(value):
            trace.freeze(ids, f"they enter an operation that is not followed ({call.func})")
    return call.run()


def note(trace: ChannelTrace, call: Call, result: Any, axes: Axes) -> Any:
    """Notes the same axes for every result, and returns the result."""
    weight = all(trace.is_weight(value) for value in call.tensors)
    for value in tree_leaves(result):
        if isinstance(value, Tensor):
            trace.put(value, axes if value.dim() == len(axes) else (None,) * value.dim(), weight)
    return result


def broadcast(trace: ChannelTrace, tensors: Sequence[Tensor], rank: int, what: str) -> Axes:
    """Axes of what comes of combining entries, as NumPy broadcasts them."""
    axes: list[Ids | None] = []
    for back in range(rank, 0, -1):
        met = [trace.of(value)[-back] for value in tensors if value.dim() >= back and value.shape[-back] != 1]
        found = met[0] if met else None
        for other in met[1:]:
            found = trace.meet(found, other, what)
        if found is None:
            # One fixed size among them is enough, and each of the others must know.
            for ids in met:
                trace.meet(ids, None, what)
        axes.append(found)
    return tuple(axes)
