"""Which quantised tensors can have no negative element, so that their grid needs no negative half.

One rule for captured programs and for the ONNX graphs that are made from them: operators are known by either's names.

Tensors that pass values on to each other unchanged on one grid (a pooling, a resizing, a concatenation) get a finer grid together or not
at all: a value that is rounded to the fine grid first and to the coarse one after can end a step away from where it belongs.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from enum import Enum
from typing import TypeVar

Node = TypeVar("Node", bound=Hashable)
Value = TypeVar("Value", bound=Hashable)


class Effect(Enum):
    """What an operator does to the sign of its inputs."""

    NEVER_NEGATIVE = "results are never negative"
    SELECTS = "results are values of its inputs, or lie between them"
    KEEPS_SIGN = "results are not negative if no input is"
    UNKNOWN = "anything"


# ONNX's name, and the operators of ``torch.ops.aten`` that it stands for.
OPERATORS: dict[Effect, dict[str, tuple[str, ...]]] = {
    Effect.NEVER_NEGATIVE: {
        "Relu": ("relu", "relu_"),
        "Sigmoid": ("sigmoid",),
        "Softmax": ("softmax",),
        "Sqrt": ("sqrt",),
        "Abs": ("abs",),
        "Exp": ("exp",),
        "HardSigmoid": ("hardsigmoid",),
    },
    Effect.SELECTS: {
        "Concat": ("cat",),
        "DepthToSpace": ("pixel_shuffle",),
        "Flatten": ("flatten",),
        "Identity": ("clone",),
        "MaxPool": ("max_pool2d",),
        "Pad": ("reflection_pad2d", "replication_pad2d", "pad"),
        "Reshape": ("reshape", "view"),
        "Resize": ("upsample_nearest2d", "upsample_bilinear2d"),
        "Slice": ("slice",),
        "SpaceToDepth": ("pixel_unshuffle",),
        "Split": (),
        "Squeeze": ("squeeze",),
        "Transpose": ("permute", "transpose"),
        "Unsqueeze": ("unsqueeze",),
    },
    Effect.KEEPS_SIGN: {
        "Add": ("add",),
        "AveragePool": ("avg_pool2d",),
        "GlobalAveragePool": ("adaptive_avg_pool2d",),
        "Mul": ("mul",),
        "ReduceMean": ("mean",),
        "QuantizeLinear": ("quantize_per_tensor",),
        "DequantizeLinear": ("dequantize_per_tensor",),
    },
}
OF_ONNX = {name: effect for effect, names in OPERATORS.items() for name in names}
OF_ATEN = {name: effect for effect, names in OPERATORS.items() for every in names.values() for name in every}


def non_negative(
    nodes: Iterable[Node],
    effect: Callable[[Node], Effect],
    inputs: Callable[[Node], Sequence[Value]],
    outputs: Callable[[Node], Sequence[Value]],
    known: Iterable[Value] = (),
) -> set[Value]:
    """Values that can have no negative element, whatever the other inputs of the graph.

    Args:
        nodes: in the order of execution.
        effect: what a node does.
        inputs: those of its inputs that the effect speaks of.
        outputs: its results.
        known: inputs of the graph that cannot.
    """
    found = set(known)
    for node in nodes:
        does = effect(node)
        if does is Effect.NEVER_NEGATIVE or (does is not Effect.UNKNOWN and inputs(node) and found.issuperset(inputs(node))):
            found.update(outputs(node))
    return found


def together(candidates: Iterable[Node], links: Sequence[tuple[Node, Node]]) -> set[Node]:
    """Those of the candidates that are linked, however far, to candidates alone."""
    left = set(candidates)
    while broken := {node for pair in links for node in pair if len(left.intersection(pair)) == 1} & left:
        left -= broken
    return left
