"""Runs rewrites over an ONNX model."""

from collections import Counter
from collections.abc import Sequence

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from .graph import Change, Rewrite


def apply(model: onnx.ModelProto, rewrites: Sequence[Rewrite]) -> tuple[onnx.ModelProto, tuple[Change, ...]]:
    """Applies rewrites in order to a copy and removes what nothing reads any more.

    Returns:
        the new model, checked against the ONNX specification, and all that was changed.

    Raises:
        onnx.checker.ValidationError: a rewrite made an invalid graph (a bug).
    """
    copy = ir.from_proto(model)
    changes = tuple(change for rewrite in rewrites for change in rewrite(copy))
    RemoveUnusedNodesPass()(copy)
    rewritten = ir.to_proto(copy)
    onnx.checker.check_model(rewritten, full_check=True)
    return rewritten, changes


def summary(changes: Sequence[Change]) -> str:
    """How often each rewrite did something, e.g. ``uint8_activations 56, quantize_bias 13``."""
    return ", ".join(f"{name} {count}" for name, count in Counter(change.rewrite for change in changes).items()) or "nothing"
