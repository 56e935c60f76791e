"""What OpenVINO reads from a quantised ONNX model, in the form that its own tools write: a third of the operations, the same numbers.

OpenVINO describes a graph in text, some 700 bytes an operation: as read, that is nearly as much as the int8 weights.
"""

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import openvino

CONSTANT = "Constant"
# What lays weights out for its kernel as a graph is loaded, and the attributes that say which way round it reads them.
LAYERS = frozenset({"Convolution", "ConvolutionBackpropData", "MatMul", "Einsum"})
DEQUANTIZATION = frozenset({"Convert", "Subtract", "Multiply"})
WAYS = ("transpose_a", "transpose_b", "equation")


def tidy(model: "openvino.Model") -> None:
    """Folds shapes and reshaped biases, makes one FakeQuantize of each QuantizeLinear with its DequantizeLinear, shares equal constants.

    Requires: static shapes.
    Ensures: int8 weights stay int8 constants; what an ONNX node became keeps its name, and no name depends on what was read before; layers
    that read equal float weights read them the same way round.
    """
    for step in (_fold, _join_quantization, _drop_zero_points, _share_constants, _part_tied, _name):
        step(model)


def _fold(model: "openvino.Model") -> None:
    """What is made of constants alone becomes one."""
    for node in model.get_ordered_ops():
        value = _known(node)
        if value is not None:
            _replace(node, _constant(value))


def _known(node: "openvino.Node") -> np.ndarray | None:
    """What a node computes, if that is known and no weight that is stored in fewer bits than it is computed in."""
    kind = node.get_type_name()
    if kind == "ShapeOf" and node.input(0).get_partial_shape().is_static:
        return np.array(list(node.input(0).get_shape()), node.output(0).get_element_type().to_dtype())
    if kind == CONSTANT or (kind == "Convert" and len(node.output(0).get_shape()) > 1):
        return None
    # OpenVINO cannot open a layer of int8 weights that reads a constant.
    inner = DEQUANTIZATION if kind in LAYERS else frozenset[str]()
    return _computed(node, inner)


def _computed(node: "openvino.Node", inner: frozenset[str]) -> np.ndarray | None:
    """What a node computes of constants, or of constants through nodes of some kinds; None otherwise, or if OpenVINO cannot say."""
    import openvino

    given: list[openvino.Tensor] = []
    for each in _inputs(node):
        kind = each.get_type_name()
        value = _value(each) if kind == CONSTANT else _computed(each, inner) if kind in inner else None
        if value is None:
            return None
        given.append(openvino.Tensor(value))
    if not given or node.get_output_size() != 1:
        return None
    found = openvino.Tensor(node.output(0).get_element_type(), node.output(0).get_shape())
    return np.array(found.data) if node.evaluate([found], given) else None


def _join_quantization(model: "openvino.Model") -> None:
    """FakeQuantize to integers, Convert, Convert, Subtract, Multiply becomes one FakeQuantize to the numbers that these stand for."""
    from openvino import opset13

    for node in model.get_ordered_ops():
        operands = _operands(node, "Multiply")
        minus = _operands(operands[0], "Subtract") if operands else ()
        source, zero_point = minus or (operands[0] if operands else None, None)
        quantize = _operand(_operand(source, "Convert"), "Convert")
        if quantize is None or quantize.get_type_name() != "FakeQuantize" or not _are_numbers(operands[1], zero_point):
            continue
        scale, offset = _value(operands[1]), np.float32(0) if zero_point is None else _value(zero_point)
        low, high, first, last = map(_value, _inputs(quantize)[1:])
        ends = low, high, (first - offset) * scale, (last - offset) * scale
        levels = quantize.get_attributes()["levels"]
        joined = opset13.fake_quantize(quantize.input_value(0), *map(_constant, ends), levels)
        joined.set_friendly_name(node.get_friendly_name())
        _replace(node, joined)


def _are_numbers(*nodes: "openvino.Node | None") -> bool:
    return all(node is None or (node.get_type_name() == CONSTANT and _value(node).size == 1) for node in nodes)


def _drop_zero_points(model: "openvino.Model") -> None:
    """Symmetric weights need no Subtract."""
    for node in model.get_ordered_ops():
        operands = _operands(node, "Subtract")
        if operands and operands[1].get_type_name() == CONSTANT and not _value(operands[1]).any():
            _replace(node, operands[0])


def _share_constants(model: "openvino.Model") -> None:
    """One of each."""
    first: dict[tuple[str, tuple[int, ...], bytes], openvino.Node] = {}
    for node in model.get_ordered_ops():
        if node.get_type_name() == CONSTANT:
            value = _value(node)
            kept = first.setdefault((str(node.get_element_type()), value.shape, value.tobytes()), node)
            if kept is not node:
                _replace(node, kept)


def _part_tied(model: "openvino.Model") -> None:
    """Weights that layers read in two ways, a convolution and a transposed one say, are kept turned for the second, and turned back as the
    file is loaded.

    OpenVINO 2026.4 takes what one laid out for its kernel for the other's, where they have as many channels in as out. It knows weights by
    their place in memory, and equal constants have one place in a file: a copy would not do.
    """
    from openvino import opset13

    ways: dict[bytes, tuple[object, ...]] = {}
    for node in model.get_ordered_ops():
        for place, weight in enumerate(map(_float_weight, _inputs(node))) if node.get_type_name() in LAYERS else ():
            if weight is None or weight.ndim < 2:
                continue
            attributes = node.get_attributes()
            way = (node.get_type_name(), place, *map(attributes.get, WAYS))
            if ways.setdefault(weight.tobytes(), way) != way:
                turn = [*reversed(range(weight.ndim))]
                turned = opset13.convert(_constant(weight.transpose(turn)), "f32")
                node.input(place).replace_source_output(opset13.transpose(turned, _constant(np.array(turn))).output(0))


def _float_weight(given: "openvino.Node") -> np.ndarray | None:
    """The numbers of a float constant, one in float16 perhaps; None of anything else."""
    found = _operand(given, "Convert") or given
    return value if found.get_type_name() == CONSTANT and (value := _value(found)).dtype.kind == "f" else None


def _name(model: "openvino.Model") -> None:
    """OpenVINO numbers what has no name of its own through the life of a process; here, through the graph."""
    numbers: Counter[str] = Counter()
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if kind == CONSTANT or node.get_friendly_name().rpartition("_")[0] == kind:
            node.set_friendly_name(f"{kind}.{numbers[kind]}")
            numbers[kind] += 1


def _operands(node: "openvino.Node | None", kind: str) -> tuple["openvino.Node", ...]:
    """What a node reads, if it is of that kind; otherwise nothing."""
    return _inputs(node) if node is not None and node.get_type_name() == kind else ()


def _operand(node: "openvino.Node | None", kind: str) -> "openvino.Node | None":
    """The first of ``_operands``."""
    return next(iter(_operands(node, kind)), None)


def _inputs(node: "openvino.Node") -> tuple["openvino.Node", ...]:
    return tuple(each.get_node() for each in node.input_values())


def _value(node: "openvino.Node") -> np.ndarray:
    return np.array(node.data)  # pyright: ignore[reportAttributeAccessIssue]  (a Constant's)


def _constant(value: np.ndarray) -> "openvino.Node":
    from openvino import op

    # Not ascontiguousarray, which gives a number an axis.
    return op.Constant(np.array(value, order="C"))


def _replace(node: "openvino.Node", other: "openvino.Node") -> None:
    for reader in node.output(0).get_target_inputs():
        reader.replace_source_output(other.output(0))
