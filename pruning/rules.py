"""What becomes of channels in each ATen operation: sums, products, convolutions, statistics.

A rule computes the operation and notes what the axes of its result stand for. Of an operation without a rule nothing is known: the channels
that enter it stay. ``rules_shape.py`` has the operations that only move entries.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from .trace import Axes, ChannelTrace
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


def follow(trace: ChannelTrace, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Computes ``func`` and keeps the books."""
    from . import rules_shape  # noqa: F401 - registers its rules

    schema = func._schema.arguments
    named = {a.name: value for a, value in zip(schema, args, strict=False)} | kwargs
    for argument in schema:
        if argument.name not in named and argument.has_default_value():
            named[argument.name] = argument.default_value
    call = Call(func, named)
    found = RULES.get(call.name) or (pointwise if torch.Tag.pointwise in func.tags else unknown)
    return found(trace, call)


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


@rule(
    "_prelu_kernel",
    "hardswish",
    "copy",
    "masked_fill",
    "_to_copy",
    "lift_fresh",
    "lift_fresh_copy",
    "detach",
    "alias",
    "contiguous",
    "fill",
    "zero",
)
@rule("complex", "_conj")
@rule("zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like", "view_as_complex", "isnan", "isinf")
def pointwise(trace: ChannelTrace, call: Call) -> Any:
    """Entries at one place are combined."""
    tensors = call.tensors
    result = call.run()
    rank = max((value.dim() for value in tensors), default=0)
    return note(trace, call, result, broadcast(trace, tensors, rank, call.name))


@rule("zeros", "ones", "full", "empty", "arange", "linspace", "rand", "randn", "eye", "scalar_tensor")
@rule("new_zeros", "new_ones", "new_full", "new_empty", "new_empty_strided", "empty_strided")
def factory(trace: ChannelTrace, call: Call) -> Any:
    """New tensors, whose sizes the code may take from other tensors: whether they follow is for the trial to find out."""
    result = call.run()
    trace.put(result, tuple(trace.units.new(size) if size > 1 else None for size in result.shape), weight=True)
    return result


def silenced(trace: ChannelTrace, value: Tensor, axis: int, fill: float = 0.0) -> Tensor:
    """``value`` with its silent entries set to ``fill``."""
    ids = trace.of(value)[axis]
    kept = trace.kept(ids)
    if kept is None:
        return value
    gone = torch.from_numpy(np.setdiff1d(np.arange(value.shape[axis]), kept))
    return value.index_fill(axis, gone, fill)


def multiply(trace: ChannelTrace, one: Ids | None, other: Ids | None, weights: Sequence[tuple[Ids | None, Ids | None]], what: str) -> None:
    """Joins two axes that are summed over; of each weight, what is read and what is made is noted."""
    trace.meet(one, other, what)
    for read, made in weights:
        if read is not None:
            trace.read.append(read)
        if made is not None:
            trace.made.append(made)


@rule("convolution")
def convolution(trace: ChannelTrace, call: Call) -> Any:
    """Its input's channels are its weight's input axis; it goes on with the output axis."""
    x, weight, bias, groups = (call.args[name] for name in ("input", "weight", "bias", "groups"))
    axes, (rows, columns) = trace.of(x), trace.of(weight)[:2]
    batched = x.dim() - 2 == len(call.args["stride"])
    channel = 1 if batched else 0
    for ids in axes[channel + 1 :]:
        trace.freeze(ids, "they are taken for a picture's height or width (convolution)")
    entering, transposed, count = axes[channel], call.args["transposed"], x.shape[channel]
    made = _grouped(trace, entering, rows, columns, count, groups, transposed) if groups > 1 else None
    if groups == 1:
        reads, made = (rows, columns) if transposed else (columns, rows)
        multiply(trace, entering, reads, [(reads, made)], "convolution")
    if bias is not None:
        trace.meet(made, trace.of(bias)[0], "convolution")
    result = call.run(input=silenced(trace, x, channel))
    return note(trace, call, result, (*axes[:channel], made, *(None,) * len(call.args["stride"])))


def _grouped(
    trace: ChannelTrace, entering: Ids | None, rows: Ids | None, columns: Ids | None, count: int, groups: int, transposed: bool
) -> Ids | None:
    """What a grouped convolution makes: every group keeps as many inputs and outputs as the others."""
    if groups == count:
        # Each channel has filters of its own, which go with it.
        if transposed:
            met = trace.meet(entering, rows, "grouped convolution")
            trace.freeze(columns, "one channel has several filters")
            return met if columns is None or met is None else np.repeat(met, len(columns))
        if rows is None or entering is None:
            trace.meet(rows, entering, "grouped convolution")
            return rows
        trace.meet(np.repeat(entering, len(rows) // count), rows, "grouped convolution")
        return rows
    inside = None if entering is None else trace.tie(entering, groups)
    if transposed:
        reads = None if rows is None else trace.tie(rows, groups)
        multiply(trace, inside, reads, [(rows, columns)], "grouped convolution")
        return None if columns is None else np.tile(columns, groups)
    multiply(trace, inside, columns, [(columns, rows)], "grouped convolution")
    if rows is not None:
        trace.tie(rows, groups)
    return rows


@rule("mm", "bmm", "addmm", "baddbmm", "mv", "addmv", "dot", "addbmm")
def matrix_product(trace: ChannelTrace, call: Call) -> Any:
    """The axes that are summed over go together."""
    names = [name for name in ("self", "mat1", "batch1", "mat", "mat2", "batch2", "vec", "vec2", "tensor") if name in call.args]
    one, other = names[-2:]
    left, right = call.args[one], call.args[other]
    a, b = list(trace.of(left)), list(trace.of(right))
    inner = b[-2] if len(b) > 1 else b[-1]
    outer = b[-1] if len(b) > 1 else None
    weights = [(a[-1], a[-2] if len(a) > 1 else None)] if trace.is_weight(left) else []
    weights += [(inner, outer)] if trace.is_weight(right) else []
    multiply(trace, a[-1], inner, weights, "matrix product")
    batch = (trace.meet(a[0], b[0], "matrix product") if left.shape[0] > 1 else None,) if len(a) == 3 else ()
    axes = (*batch, *((a[-2],) if len(a) > 1 else ()), *((outer,) if len(b) > 1 else ()))
    result = call.run(**{one: silenced(trace, left, -1)})
    if len(names) == 3:
        bias = call.args["self"]
        for back in range(1, min(bias.dim(), len(axes)) + 1):
            if bias.shape[-back] > 1:
                trace.meet(axes[-back], trace.of(bias)[-back], "bias")
    return note(trace, call, result, axes)


@rule(
    "native_batch_norm",
    "_native_batch_norm_legit",
    "_native_batch_norm_legit_no_training",
    "_batch_norm_no_update",
    "_batch_norm_with_update",
)
def batch_norm(trace: ChannelTrace, call: Call) -> Any:
    """Five tensors of one value for each channel."""
    axes = trace.of(call.args["input"])
    per_channel = [call.args.get(name) for name in ("weight", "bias", "running_mean", "running_var")]
    for value in per_channel:
        if value is not None and value.shape[0] > 1:
            trace.meet(axes[1], trace.of(value)[0], "batch normalisation")
    return _note_first(trace, call, call.run(), axes)


@rule("native_group_norm")
def group_norm(trace: ChannelTrace, call: Call) -> Any:
    """Groups keep as many channels as each other; statistics are of those that are not silent."""
    x, groups, width = call.args["input"], call.args["group"], call.args["C"]
    axes = trace.of(x)
    for name in ("weight", "bias"):
        if call.args[name] is not None and width > 1:
            trace.meet(axes[1], trace.of(call.args[name])[0], "group normalisation")
    if axes[1] is not None and 1 < groups < width:
        trace.tie(axes[1], groups)
    kept = trace.kept(axes[1]) if groups < width else None
    if kept is None:
        return _note_first(trace, call, call.run(), axes)
    places = torch.from_numpy(kept)
    parts = {name: call.args[name][places] for name in ("weight", "bias") if call.args[name] is not None}
    result = call.run(input=x.index_select(1, places).contiguous(), C=len(kept), **parts)
    return _note_first(trace, call, (torch.zeros_like(x).index_copy(1, places, result[0]), *result[1:]), axes)


@rule("native_layer_norm", "_fused_rms_norm")
def layer_norm(trace: ChannelTrace, call: Call) -> Any:
    """Statistics are of the channels that are not silent."""
    x, count = call.args["input"], len(call.args["normalized_shape"])
    axes = trace.of(x)
    parts = [name for name in ("weight", "bias") if call.args.get(name) is not None]
    for name in parts:
        for back in range(1, count + 1):
            if x.shape[-back] > 1:
                trace.meet(axes[-back], trace.of(call.args[name])[-back], "layer normalisation")
    kept = trace.kept(axes[-1])
    if count > 1:
        for ids in axes[-count:]:
            trace.freeze(ids, "they are normalised together with another axis")
    if kept is None:
        return _note_first(trace, call, call.run(), axes)
    places = torch.from_numpy(kept)
    chosen = {name: call.args[name][places] for name in parts}
    result = call.run(input=x.index_select(-1, places), normalized_shape=[len(kept)], **chosen)
    return _note_first(trace, call, (torch.zeros_like(x).index_copy(-1, places, result[0]), *result[1:]), axes)


def _note_first(trace: ChannelTrace, call: Call, result: Any, axes: Axes) -> Any:
    note(trace, call, result[1:], ())
    note(trace, call, result[0], axes)
    return result


@rule(
    "sum",
    "mean",
    "amax",
    "amin",
    "var",
    "var_mean",
    "std",
    "std_mean",
    "linalg_vector_norm",
    "norm",
    "logsumexp",
    "prod",
    "max",
    "min",
    "any",
    "all",
)
def reduction(trace: ChannelTrace, call: Call) -> Any:
    """Statistics of the entries that are not silent."""
    x = call.args["self"]
    if isinstance(call.args.get("other"), Tensor):
        return pointwise(trace, call)
    dims = call.args.get("dim")
    reduced = range(x.dim()) if dims is None or dims == [] else [d % x.dim() for d in ([dims] if isinstance(dims, int) else dims)]
    for axis in reduced:
        kept = trace.kept(trace.of(call.args["self"])[axis])
        if kept is not None:
            x = x.index_select(axis, torch.from_numpy(kept))
    result = call.run(self=x)
    keepdim = call.args.get("keepdim", False)
    axes = tuple(None if axis in reduced else ids for axis, ids in enumerate(trace.of(call.args["self"])) if keepdim or axis not in reduced)
    return note(trace, call, result, axes)


@rule("_softmax", "_log_softmax", "_safe_softmax", "softmax", "log_softmax")
def softmax(trace: ChannelTrace, call: Call) -> Any:
    """The silent entries have no part in it."""
    x = call.args["self"]
    return note(trace, call, call.run(self=silenced(trace, x, call.args["dim"], -torch.inf)), trace.of(x))
