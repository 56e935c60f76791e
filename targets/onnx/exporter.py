"""A captured graph to a clean ONNX model: standard operators of opset 18, the spec's names, nothing of the machine that made it."""

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from torch.export import ExportedProgram

from ...capture.program import GraphProgram, Program, module_path, operator_name
from ...model.graph import Size, TensorSpec
from ...recipe.precision import Precision
from ...system.errors import CaptureError
from ...system.silence import silence
from ..declared import facts
from ..identity import fingerprint
from .declared import PREFIX

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

# From 21 on, the exporter's QuantizeLinear has an output_dtype that ONNX Runtime rejects beside another zero point.
OPSET = 18
PRODUCER = "instantstyle"
# Where the exporter writes the path of a node: modules from the root on, then the node.
SCOPES = "pkg.torch.onnx.name_scopes"
PACKAGES = ("onnx", "onnxscript", "onnx_ir", "onnxsim")


@dataclass(frozen=True)
class _Exported:
    """A model's bytes, and the module path of each of its nodes by name."""

    content: bytes
    modules: Mapping[str, str]


# Exporting takes seconds, and several targets of a release start from the same model: each reads the captured program from the cache
# anew, so what was exported is known by the program's content. Two graphs in float and int8, and some to spare.
KEPT_EXPORTS = 6
_exports: dict[str, _Exported] = {}


def to_onnx(graph: GraphProgram, precision: Precision, size: Size) -> "onnx.ModelProto":
    """Exports one graph and simplifies it.

    FLOAT32 is the float program, exact. INT8 is the PT2E program as it stands: standard QuantizeLinear and DequantizeLinear,
    signed, zero points 0, weights stored as int8 with one scale for each output channel.

    Raises:
        CaptureError: an operator has no ONNX form (names node and module path), the program does not fit its specs,
            or it has no int8.
    """
    import onnx

    return onnx.load_model_from_string(_export_once(graph, precision, size).content)


def module_paths(graph: GraphProgram, precision: Precision, size: Size) -> Mapping[str, str]:
    """Of the nodes of what ``to_onnx`` makes, by name; empty for the graph itself. Nodes that the simplifier made are not in it."""
    return _export_once(graph, precision, size).modules


def _export_once(graph: GraphProgram, precision: Precision, size: Size) -> _Exported:
    program = _program(graph, precision)
    key = _content_key(graph, program, precision, size)
    if key not in _exports:
        while len(_exports) >= KEPT_EXPORTS:
            del _exports[next(iter(_exports))]
        model = _export(graph, program)
        _name_convolutions(model, program)
        _rename(model.graph, graph, size)
        modules = {node.name or "": _module_path(node) for node in model.graph}
        _forget_origin(model)
        _exports[key] = _Exported(_simplify(graph, model).SerializeToString(deterministic=True), modules)
    return _exports[key]


def forget_exports() -> None:
    """The next ``to_onnx`` exports, whatever was exported before."""
    _exports.clear()


def _content_key(graph: GraphProgram, program: ExportedProgram, precision: Precision, size: Size) -> str:
    """Equal for programs of which equal files are made: of equal operators on equal numbers, by nodes of equal names and modules."""
    nodes = [(node.op, node.name, module_path(node)) for node in program.graph.nodes]
    shapes = [tuple(node.meta["val"].shape) for node in program.graph.nodes if node.op == "placeholder" and "val" in node.meta]
    parts = (fingerprint(graph, precision), graph.name, graph.inputs, graph.outputs, size, nodes, shapes)
    return sha256(repr(parts).encode()).hexdigest()


def _module_path(node: "ir.Node") -> str:
    return _scopes(node)[0]


def _scopes(node: "ir.Node") -> tuple[str, str]:
    """Path of the module that a node comes from, and the name that it had in the captured program; both empty if nothing tells."""
    scopes = node.metadata_props.get(SCOPES)
    found = ast.literal_eval(scopes) if scopes else []
    return (str(found[-2]), str(found[-1])) if len(found) > 1 else ("", "")


def _name_convolutions(model: "ir.Model", program: ExportedProgram) -> None:
    """Gives convolutions the captured program's names: the exporter numbers those that it rewrites, such as all without a bias, and renames
    transposed ones."""
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    captured = {node.name: module_path(node) for node in calls if operator_name(node).startswith("conv")}
    found = [node for node in model.graph if node.op_type in ("Conv", "ConvTranspose")]
    left = captured.keys() - {_scopes(node)[1] for node in found}
    for node in found:
        path, name = _scopes(node)
        if name not in captured:
            name = next((each for each in captured if each in left and captured[each] == path), "")
            left.discard(name)
        node.name = f"node_{name}" if name else node.name


def stamp(model: "onnx.ModelProto", program: Program, graph: GraphProgram, precision: Precision) -> None:
    """Writes into the model where it comes from and what an app must know of it: names, shapes and value ranges of inputs and outputs."""
    model.producer_name, model.producer_version = PRODUCER, ""
    model.graph.name = graph.name
    del model.metadata_props[:]
    for key, value in facts(program, graph, precision, program.size).items():
        model.metadata_props.add(key=f"{PREFIX}{key}", value=value)


def _program(graph: GraphProgram, precision: Precision) -> ExportedProgram:
    if precision is Precision.FLOAT32:
        return graph.float_program
    if precision is not Precision.INT8:
        raise CaptureError(f"graph '{graph.name}': no ONNX form of precision {precision}")
    if graph.int8_program is None:
        raise CaptureError(f'graph \'{graph.name}\' has no int8 program: set quantize.method to "qat" or "ptq" in the recipe')
    return graph.int8_program


def _export(graph: GraphProgram, program: ExportedProgram) -> "ir.Model":
    import torch.onnx

    with silence():
        try:
            exported = torch.onnx.export(program, dynamo=True, opset_version=OPSET, verbose=False)
        except torch.onnx.OnnxExporterError as error:
            raise CaptureError(_explain(graph, program, error)) from error
    if exported is None:
        raise CaptureError(f"graph '{graph.name}': torch.onnx returned no model")
    return exported.model


def _explain(graph: GraphProgram, program: ExportedProgram, error: BaseException) -> str:
    """The exporter's chain of errors in two lines: the node with its module path, and the first cause."""
    chain = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    text, cause = " ".join(str(link) for link in chain), str(chain[-1]).splitlines()[0]
    named = re.search(r"node %(\w+) ", text)
    where = f"node '{named[1]}' in module {_modules(program, named[1])}" if named else "the exporter names no node"
    return f"graph '{graph.name}' has no ONNX form: {where}: {cause}; write that line of the model with other operators"


def _modules(program: ExportedProgram, name: str) -> str:
    """Paths of the modules that a node of the exporter's comes from."""
    nodes = [node for node in program.graph.nodes if node.name == name]
    # Where the exporter decomposed an operator, the parts' names resemble the whole's: bessel_j0 of special_bessel_j0.
    nodes = nodes or [node for node in program.graph.nodes if name.rstrip("_0123456789") in node.name]
    # Or the whole's name resembles the parts': rrelu of rrelu_with_noise_functional. The longest such name says most.
    parts = [node for node in program.graph.nodes if node.op == "call_function" and operator_name(node) in name]
    longest = max((len(operator_name(node)) for node in parts), default=0)
    nodes = nodes or [node for node in parts if len(operator_name(node)) == longest]
    stacks = (list((node.meta.get("nn_module_stack") or {}).values()) for node in nodes)
    return " or ".join(sorted({f"'{stack[-1][0] if stack else ''}'" for stack in stacks})) or "unknown"


def _rename(onnx_graph: "ir.Graph", graph: GraphProgram, size: Size) -> None:
    """Gives inputs and outputs their specs' names, and inner values that have one of these another."""
    import onnx_ir as ir

    pairs = _pair("inputs", onnx_graph.inputs, graph.inputs, graph) + _pair("outputs", onnx_graph.outputs, graph.outputs, graph)
    if len({spec.name for _, spec in pairs}) != len(pairs):
        raise CaptureError(f"graph '{graph.name}': two of its inputs and outputs have one name: {[spec.name for _, spec in pairs]}")
    outer, taken = {id(value) for value, _ in pairs}, {spec.name for _, spec in pairs}
    inner = [value for node in onnx_graph for value in node.outputs] + list(onnx_graph.initializers.values())
    for value in inner:
        if value.name in taken and id(value) not in outer:
            value.name = f"{value.name}.inner"
    for value, spec in pairs:
        value.name = spec.name
        shape = tuple(value.shape) if value.shape is not None else None
        if value.dtype != ir.DataType.FLOAT:
            kind = str(value.dtype).lower()
            raise CaptureError(
                f"graph '{graph.name}': tensor '{spec.name}' is {kind}, and artifacts pass float32; end the model with .float(), and keep "
                "constants in float32 (those of NumPy are float64)"
            )
        if shape != spec.shape(size):
            raise CaptureError(f"graph '{graph.name}': tensor '{spec.name}' has shape {shape}, its spec says {spec.shape(size)}")


def _pair(kind: str, values: Sequence["ir.Value"], specs: Sequence[TensorSpec], graph: GraphProgram) -> list[tuple["ir.Value", TensorSpec]]:
    if len(values) != len(specs):
        raise CaptureError(f"graph '{graph.name}' was captured with {len(values)} {kind}, its specs have {len(specs)}")
    return list(zip(values, specs, strict=True))


def _forget_origin(model: "ir.Model") -> None:
    """Drops stack traces and the like: they hold paths of the build machine, and differ from build to build."""
    model.graph.metadata_props.clear()
    model.graph.doc_string = model.doc_string = None
    values = [*model.graph.inputs, *model.graph.outputs, *model.graph.initializers.values()]
    for node in model.graph:
        node.metadata_props.clear()
        node.doc_string = None
        values += node.outputs
    for value in values:
        value.metadata_props.clear()
        value.doc_string = None


def _simplify(graph: GraphProgram, model: "ir.Model") -> "onnx.ModelProto":
    import onnx_ir as ir
    import onnxsim

    with silence():
        simplified, equal = onnxsim.simplify(ir.to_proto(model))
    if not equal:
        raise CaptureError(f"graph '{graph.name}': onnxsim changed what the model computes")
    return simplified
