"""Which refusals are true: the sentence, and what a net must have for it to be one."""

import re
from dataclasses import dataclass

from net_property import Outcome
from net_spec import Net


@dataclass(frozen=True)
class Refusal:
    """A sentence (pattern) that is true of nets with one of ``kinds``, in ``steps`` that start so."""

    sentence: str
    kinds: frozenset[str]
    steps: str = ""


# The sentence names a module path or a key of the recipe; why it is true stands beside it.
REFUSALS: tuple[Refusal, ...] = (
    # Its slope in eval mode is a number, but torch.onnx has a function for neither form of the operator.
    Refusal(r"node 'rrelu\w*' in module 'blocks\.\S+': No ONNX function found", frozenset({"act.rrelu", "act.module"})),
    # ONNX has no median, and torch.onnx writes none out.
    Refusal(r"node 'median\w*' in module 'blocks\.\S+': No ONNX function found", frozenset({"pool.median"})),
    # Core ML has tensors of five dimensions; six that do nothing but move values are joined, these are enlarged.
    Refusal(r"rank <= 5", frozenset({"resize.expand"}), "coreml"),
)


def is_true(outcome: Outcome, net: Net) -> bool:
    """Whether a refusal is one of those that are known to be true of what the net has."""
    return outcome.kind == "refused" and any(
        re.search(refusal.sentence, outcome.detail) and refusal.kinds & net.kinds and outcome.step.startswith(refusal.steps)
        for refusal in REFUSALS
    )
