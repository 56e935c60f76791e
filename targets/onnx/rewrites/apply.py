"""Runs rewrites over an ONNX model."""

from collections import Counter
from collections.abc import Sequence

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from .contract import Change, Rewrite


class RewriteError(Exception):
    """Rewrites run in an order that they do not allow, or one does not do what it says; a defect of this program, not of a model."""


def apply(model: onnx.ModelProto, rewrites: Sequence[Rewrite]) -> tuple[onnx.ModelProto, tuple[Change, ...]]:
    """Applies rewrites in order to a copy and removes what nothing reads any more.

    Returns:
        the new model, checked against the ONNX specification, and all that was changed.

    Raises:
        RewriteError: a rewrite ended what one after it requires, or did not reach what it ensures.
        onnx.checker.ValidationError: a rewrite made an invalid graph (a bug).
    """
    copy = ir.from_proto(model)
    # What a model has from the start, such as a quantisation of its author's own, is no matter of order: rewrites leave it alone.
    own = {condition: set(condition.exceptions(copy.graph)) for rewrite in rewrites for condition in rewrite.requires}
    changes: list[Change] = []
    for place, rewrite in enumerate(rewrites):
        for condition in rewrite.requires:
            made = set(condition.exceptions(copy.graph)) - own[condition]
            if made:
                before = ", ".join(each.name for each in rewrites[:place])
                raise RewriteError(f"{rewrite.name} requires that {condition.text}, which {min(made)} is not after {before}; run it before")
        changes += rewrite.change(copy)
        for condition in rewrite.ensures:
            left = min(condition.exceptions(copy.graph), default=None)
            if left is not None:
                raise RewriteError(f"{rewrite.name} ensures that {condition.text}, and left {left}")
    RemoveUnusedNodesPass()(copy)
    rewritten = ir.to_proto(copy)
    onnx.checker.check_model(rewritten, full_check=True)
    return rewritten, tuple(changes)


def summary(changes: Sequence[Change]) -> str:
    """How often each rewrite did something, e.g. ``uint8_activations 56, quantize_bias 13``."""
    return ", ".join(f"{name} {count}" for name, count in Counter(change.rewrite for change in changes).items()) or "nothing"
