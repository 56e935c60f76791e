"""A captured graph to OpenVINO's intermediate representation: ``<graph>.xml``, which describes it, and ``<graph>.bin``, its constants."""

import re
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from ...capture.program import GraphProgram, Program
from ...recipe.precision import Precision
from ...system.errors import CaptureError
from ...system.silence import silence
from ..convolutions import asked_of
from ..declared import Declared, Tensor, facts
from ..onnx.target import build, portable_rewrites
from .tidy import tidy

if TYPE_CHECKING:
    import onnx
    import openvino

# The place in the model's own information that the facts are under.
FACTS = "instantstyle"
# Lines of its errors that say where in its sources they were found, or that there is more.
PREAMBLE = ("Check '", "Exception from ", "FrontEnd API failed", "While ", "Model wasn't fully converted", "-- ")


def convert(program: Program, graph: GraphProgram, precision: Precision, folder: Path) -> tuple[int, tuple[str, ...]]:
    """Writes one graph into a folder.

    Returns:
        how many of its convolutions must run in int8, and notes for the artifact.

    Raises:
        CaptureError: the graph has no form in ONNX or in OpenVINO.
    """
    import openvino

    from ..onnx.rewrites.antialias_by_products import antialias_by_products
    from ..onnx.rewrites.store_half import store_half

    source = Precision.INT8 if precision is Precision.INT8 else Precision.FLOAT32
    rewrites = (*portable_rewrites(graph), antialias_by_products, store_half)
    onnx_model, _, notes = build(program, graph, source, rewrites, float_rewrites=(antialias_by_products,))
    try:
        with silence():
            model = read(onnx_model)
    except RuntimeError as error:
        raise CaptureError(f"graph '{graph.name}' has no form in OpenVINO: {cause(error)}; write that part otherwise") from error
    tidy(model)
    model.set_friendly_name(graph.name)
    for key, value in facts(program, graph, precision, program.size).items():
        model.set_rt_info(value, [FACTS, key])
    path = folder / f"{graph.name}.xml"
    openvino.save_model(model, path, compress_to_fp16=precision is Precision.FLOAT16)
    path.write_bytes(_shortened(path.read_bytes()))
    asked, left = asked_of(graph, precision, "OpenVINO")
    return asked, (*(note for note in notes if "ONNX Runtime" not in note), *left)


def read(model: "onnx.ModelProto") -> "openvino.Model":
    """An ONNX model as OpenVINO reads it. RuntimeError if it does not."""
    import openvino

    plain = type(model)()
    plain.CopyFrom(model)
    del plain.metadata_props[:]
    return openvino.Core().read_model(plain.SerializeToString(deterministic=True))


def cause(error: RuntimeError) -> str:
    """What OpenVINO says, without the places in its own sources."""
    unknown = unknown_operators(str(error))
    if unknown:
        return f"it has no {', '.join(unknown)}"
    lines = [line.strip() for line in str(error).splitlines()]
    own = [line for line in lines if line and not line.startswith(PREAMBLE)]
    return own[0] if own else "it gives no reason"


def unknown_operators(text: str) -> tuple[str, ...]:
    """The ONNX operators that OpenVINO says it does not know: "No conversion rule found for operations: Det-18"."""
    found = re.search(r"operations: (.+)", text)
    return tuple(name.partition("-")[0].strip() for name in found[1].split(",")) if found else ()


def _shortened(text: bytes) -> bytes:
    """Without spaces, and without the shapes of what lies between inputs and outputs: OpenVINO infers them as it reads."""
    root = ElementTree.fromstring(text)
    for element in root.iter():
        element.text = (element.text or "").strip()
        element.tail = ""
    for port in root.iter("port"):
        for length in port.findall("dim"):
            port.remove(length)
    return ElementTree.tostring(root)


def declared(model: "openvino.Model") -> Declared:
    """The interface of a model."""
    known = model.get_rt_info([FACTS]).value if model.has_rt_info([FACTS]) else {}
    return Declared(
        tuple(map(_tensor, model.inputs)), tuple(map(_tensor, model.outputs)), {key: str(value) for key, value in known.items()}
    )


def _tensor(port: "openvino.Output") -> Tensor:
    shape = tuple(length.get_length() if length.is_static else "?" for length in port.get_partial_shape())
    return Tensor(port.get_any_name(), str(port.get_element_type().to_dtype()), shape)
