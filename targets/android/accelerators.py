"""What execution providers of ONNX Runtime take of a graph, by the lists of operators in their documentation.

NNAPI is not among them: Android deprecates it from version 15 on. Nothing here is executed; what a provider makes of shapes and types is
known on the device alone.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

FILE = "accelerators.txt"
# A provider takes them with the operator that they belong to.
GRIDS = frozenset({"QuantizeLinear", "DequantizeLinear"})


@dataclass(frozen=True)
class Provider:
    """An execution provider.

    Attributes:
        source: of the list.
        operators: of the domain ``ai.onnx``, without ``GRIDS``.
        ranks: of the first input, where an operator is taken at some only.
        modes: of ``Resize``, likewise; empty if all are.
    """

    name: str
    source: str
    operators: frozenset[str]
    ranks: Mapping[str, tuple[int, ...]]
    modes: frozenset[bytes] = frozenset()

    def takes(self, node: "onnx.NodeProto", ranks: Mapping[str, int]) -> bool:
        """Whether the list has the node's operator, and what it says besides holds. ``ranks`` are of tensors, by name."""
        if node.domain not in ("", "ai.onnx") or node.op_type not in self.operators:
            return False
        wanted = self.ranks.get(node.op_type)
        if wanted and ranks.get(node.input[0]) not in wanted:
            return False
        modes = {attribute.s for attribute in node.attribute if attribute.name == "mode"} or {b"nearest"}
        return node.op_type != "Resize" or not self.modes or modes <= self.modes


XNNPACK = Provider(
    "XNNPACK",
    "onnxruntime.ai/docs/execution-providers/Xnnpack-ExecutionProvider.html, read in November 2026",
    frozenset("AveragePool Conv ConvTranspose MaxPool Softmax Resize Gemm MatMul".split()),
    {**dict.fromkeys(("AveragePool", "Conv", "ConvTranspose", "MaxPool"), (4,)), "Gemm": (2,), "MatMul": (2,), "Resize": (2, 4)},
    frozenset({b"linear"}),
)
QNN = Provider(
    "QNN",
    "docs/execution_providers/QNN-ExecutionProvider.md of github.com/onnxruntime/onnxruntime-qnn, read in November 2026",
    frozenset(
        (
            "Abs Add And ArgMax ArgMin Asin Atan AveragePool BatchNormalization Cast Ceil Clip Concat Conv ConvTranspose Cos CumSum "
            "DepthToSpace Div Einsum Elu Equal Exp Expand Flatten Floor Gather GatherElements GatherND Gelu Gemm GlobalAveragePool "
            "GlobalMaxPool Greater GreaterOrEqual GridSample GroupNormalization HardSigmoid HardSwish Identity InstanceNormalization "
            "Inverse IsNaN LRN LSTM LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization MatMul Max MaxPool "
            "Mean Min Mod Mul Neg NonZero Not Or PRelu Pad Pow RandomNormalLike RandomUniformLike Reciprocal ReduceL2 ReduceMax "
            "ReduceMean ReduceMin ReduceProd ReduceSum Relu RMSNormalization Reshape Resize RoiAlign Round RotaryEmbedding STFT "
            "ScatterElements ScatterND Sigmoid Sign Sin Slice Softmax Softplus SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh "
            "ThresholdedRelu Tile TopK Transpose Unsqueeze Upsample Where"
        ).split()
    ),
    {},
)
PROVIDERS = (XNNPACK, QNN)


def report(models: Sequence[Path]) -> str:
    """The file's content, of ``.onnx`` models as they are before ONNX Runtime optimises them."""
    import onnx.shape_inference

    lines = [
        "What execution providers take of the graphs, by the operators that their documentation lists; nothing was executed on a device.",
        "QuantizeLinear and DequantizeLinear are not counted. The models are those that the .ort files are made of: in these, ONNX Runtime",
        "fused nodes for its CPU into ones that no list has, so ship 'onnx' for a provider. What LiteRT's GPU delegate leaves to the CPU",
        "is in the notes of the target 'litert'.",
    ]
    for provider in PROVIDERS:
        lines += ["", f"{provider.name} ({provider.source}):"]
        lines += [f"  {path.name}: {_taken(onnx.shape_inference.infer_shapes(onnx.load(path)).graph, provider)}" for path in models]
    return "\n".join(lines) + "\n"


def _taken(graph: "onnx.GraphProto", provider: Provider) -> str:
    described = (*graph.input, *graph.value_info, *graph.output)
    ranks = {each.name: len(each.type.tensor_type.shape.dim) for each in described} | {
        each.name: len(each.dims) for each in graph.initializer
    }
    nodes = [node for node in graph.node if node.op_type not in GRIDS]
    left = Counter(node.op_type for node in nodes if not provider.takes(node, ranks))
    counted = ", ".join(f"{name} {count}" for name, count in sorted(left.items()))
    return f"{len(nodes) - left.total()} of {len(nodes)} nodes" + (f"; the CPU keeps {counted}" if left else "")
