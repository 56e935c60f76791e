"""What becomes of channels in statistics over them: norms, reductions, softmax."""

from typing import Any

import torch
from torch import Tensor

from .books import Axes, ChannelTrace
from .rules import Call, note, rule
from .rules_arithmetic import pointwise, silenced


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
