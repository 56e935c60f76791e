"""Which refusals are true: the sentence, and what a net must have for it to be one."""

import re
from dataclasses import dataclass

from net_property import Outcome
from net_spec import Net


@dataclass(frozen=True)
class Refusal:
    """A sentence (pattern) that is true of nets with one of ``kinds``, of any net if there are none, in ``steps`` that start so."""

    sentence: str
    kinds: frozenset[str]
    steps: str = ""


TRANSPOSED = ("conv.transposed_grouped", "conv.transposed_depthwise", "conv.transposed_dilated", "norm.batch_after_odd")
# The sentence names a module path or a key of the recipe; why it is true stands beside it.
REFUSALS: tuple[Refusal, ...] = (
    # Its slope in eval mode is a number, but torch.onnx has a function for neither form of the operator.
    Refusal(r"node 'rrelu\w*' in module 'blocks\.\S+': No ONNX function found", frozenset({"act.rrelu", "act.module"})),
    # ONNX has no median, and torch.onnx writes none out.
    Refusal(r"node 'median\w*' in module 'blocks\.\S+': No ONNX function found", frozenset({"pool.median"})),
    # ONNX Runtime has no kernel for CPUs that computes in it.
    Refusal(r"module 'blocks\.\S+' computes in bfloat16", frozenset({"mix.double"})),
    Refusal(r"model\.blocks\.\S+: .*torch\.bfloat16", frozenset({"mix.double"}), "coreml"),
    Refusal(r"model\.blocks\.\S+: .*Pad mode should be one of", frozenset({"pad.circular"}), "coreml"),
    # coremltools takes indices of one rank alone.
    Refusal(r"model\.blocks\.\S+: node 'index_put\w*': .* rank", frozenset({"inplace.indexed"}), "coreml"),
    # Core ML has tensors of five dimensions; six that do nothing but move values are joined, these are enlarged.
    Refusal(r"rank <= 5", frozenset({"resize.expand"}), "coreml"),
    # Of what PyTorch has, our writer of LiteRT's files has a list, and says of each operator that it is not on it.
    Refusal(r"model\.\S+: LiteRT has no form of '\w+'; write that line", frozenset(), "litert"),
    Refusal(r"model\.\S+: LiteRT has no padding of the mode '(circular|replicate)'", frozenset(), "litert"),
    Refusal(r"model\.\S+: LiteRT's padding does not cut", frozenset({"pad.negative"}), "litert"),
    Refusal(r"LiteRT's transposed convolution has no groups", frozenset(TRANSPOSED), "litert"),
    Refusal(r"model\.\S+: LiteRT's layers have constant weights", frozenset({"conv.modulated"}), "litert"),
    # Its reader slices real and imaginary parts, and leaves their axis in.
    Refusal(r"model\.\S+ .*no form in OpenVINO: Data batch and filters rank do not match", frozenset({"mix.fourier"}), "openvino"),
)


def is_true(outcome: Outcome, net: Net) -> bool:
    """Whether a refusal is one of those that are known to be true of what the net has."""
    return outcome.kind == "refused" and any(
        re.search(refusal.sentence, outcome.detail)
        and (not refusal.kinds or refusal.kinds & net.kinds)
        and outcome.step.startswith(refusal.steps)
        for refusal in REFUSALS
    )
