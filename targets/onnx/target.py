"""Target ``onnx``: plain ONNX files for any runtime, and for ONNX Runtime on servers, desktops and in browsers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...capture.program import GraphProgram, Program
from ...model.graph import Arrays, TensorKind
from ...recipe.precision import Precision
from ...system.errors import CaptureError
from ..artifact import describe, graph_path
from ..base import Artifact, Availability, Finding, Runner, Target
from ..convolutions import Convolution, advice, convolutions, described, missing, repeated_note
from ..packages import install_command, missing_packages, require
from .exporter import PACKAGES, stamp, to_onnx

if TYPE_CHECKING:
    import onnx

    from .rewrites.contract import Rewrite
    from .rewrites.count import Int8Convolutions

RUNTIME = "onnxruntime"


def availability(emit: Sequence[str], run: Sequence[str]) -> Availability:
    """What a target can do with the packages that are installed here."""
    missing = missing_packages(tuple(dict.fromkeys((*emit, *run))))
    if not missing:
        return Availability(can_emit=True, can_run=True)
    can_emit, can_run = not set(missing) & set(emit), not set(missing) & set(run)
    return Availability(can_emit, can_run, f"not installed: {', '.join(missing)}", install_command(missing))


def portable_rewrites(graph: GraphProgram | None = None) -> tuple["Rewrite", ...]:
    """Rewrites of the numbers' grids alone, which leave the shape of the network as it is.

    Activations are uint8 beside int8 weights: ONNX Runtime on x86 runs a third of the convolutions of the signed, symmetric form as
    int8 kernels and is slower with it than in float; in this form it runs all of them.

    Args:
        graph: whose inputs may be known not to be negative.
    """
    from .rewrites.fold_repeated_quantization import fold_repeated_quantization
    from .rewrites.keep_cubic_layout import keep_cubic_layout
    from .rewrites.refine_non_negative import refine_non_negative_of
    from .rewrites.uint8_activations import uint8_activations

    refine = refine_non_negative_of(non_negative_inputs(graph) if graph else ())
    return fold_repeated_quantization, refine, uint8_activations, keep_cubic_layout


def non_negative_inputs(graph: GraphProgram) -> tuple[str, ...]:
    """Names of the images whose values are never negative."""
    images = (spec for spec in graph.inputs if spec.kind is TensorKind.IMAGE)
    return tuple(spec.name for spec in images if spec.minimum >= 0 and all(mean <= spec.minimum for mean in spec.mean))


def onnx_runtime_rewrites(graph: GraphProgram | None = None) -> tuple["Rewrite", ...]:
    """The portable ones between what ONNX Runtime has fast kernels for: no PRelu, gates and means on integers."""
    from .rewrites.integer_gate import integer_gate
    from .rewrites.integer_mean import integer_mean
    from .rewrites.plain_prelu import plain_prelu

    return plain_prelu, *portable_rewrites(graph), integer_gate, integer_mean


def file_rewrites(graph: GraphProgram | None = None) -> tuple["Rewrite", ...]:
    """Those of an int8 ``.onnx`` file that ONNX Runtime opens, in whatever build of it."""
    from .rewrites.center_norms import center_norms
    from .rewrites.fold_channel_scales import fold_channel_scales
    from .rewrites.store_half import store_half

    return *onnx_runtime_rewrites(graph), fold_channel_scales, center_norms, store_half


def build(
    program: Program,
    graph: GraphProgram,
    precision: Precision,
    rewrites: Sequence["Rewrite"],
    *,
    float_rewrites: Sequence["Rewrite"] = (),
) -> tuple["onnx.ModelProto", int, tuple[str, ...]]:
    """One graph as an ONNX model.

    Args:
        rewrites: of an int8 model.
        float_rewrites: of a float one, besides what every target needs.

    Returns:
        the model, how many of its convolutions must run as int8 kernels, and notes for the artifact.

    Raises:
        CaptureError: the graph has no ONNX form, or lost int8 convolutions on the way.
    """
    from .rewrites.apply import apply, summary
    from .rewrites.keep_cubic_layout import keep_cubic_layout

    model, asked = to_onnx(graph, precision, program.size), 0
    wanted = convolutions(graph, precision)
    notes = repeated_note(graph, wanted)
    if precision is not Precision.INT8:
        model, _ = apply(model, (keep_cubic_layout, *float_rewrites))
    else:
        from .rewrites.count import int8_convolutions
        from .rewrites.narrow_weights import narrow_weights
        from .saturation import saturating

        rewritten, changes = apply(model, rewrites)
        if layers := saturating(rewritten, examples(graph)):
            # From the start: biases and grids follow the weights' scales.
            rewritten, changes = apply(model, (narrow_weights(layers), *rewrites))
        model = rewritten
        found = int8_convolutions(model)
        check_all_int8(graph, wanted, found, model)
        asked = found.plain
        notes += (f"{graph.name}: {summary(changes)}",)
        if found.transposed:
            notes += (f"{graph.name}: {found.transposed} transposed convolutions run in float, ONNX Runtime has no int8 kernel for them",)
    stamp(model, program, graph, precision)
    return model, asked, notes


def examples(graph: GraphProgram) -> tuple[dict[str, np.ndarray], ...]:
    """Inputs to see sums of integers by: the sample that the int8 program was captured with, and its negative, bright where that is dark.

    Raises:
        CaptureError: it was captured without one.
    """
    found = graph.int8_program.example_inputs if graph.int8_program is not None else None
    if found is None:
        raise CaptureError(f"graph '{graph.name}': its int8 program has no example inputs; capture it again")
    given = {spec.name: value.numpy() for spec, value in zip(graph.inputs, found[0], strict=True)}
    images = [spec for spec in graph.inputs if spec.kind is TensorKind.IMAGE]
    negative = {spec.name: np.asarray(spec.minimum + spec.maximum - given[spec.name], np.float32) for spec in images}
    return given, given | negative


def check_all_int8(graph: GraphProgram, wanted: Sequence[Convolution], found: "Int8Convolutions", model: "onnx.ModelProto") -> None:
    """Raises CaptureError if convolutions that are int8 in the program are not in its ONNX model; names their modules."""
    asked = sum(each.int8 for each in wanted)
    if found.plain + found.transposed >= asked:
        return
    int8 = {node.name for node in model.graph.node} - set(found.floats)
    lost = [each.module_path for each in missing(wanted, int8)]
    listed = ", ".join(f"'{path}'" for path in lost) or "some of them"
    raise CaptureError(
        f"graph '{graph.name}': {asked} convolutions are int8 in the program, {found.plain + found.transposed} in the ONNX model: "
        f"an input or the output of {listed} is not quantised there; {advice(lost)}"
    )


def save(model: "onnx.ModelProto", path: Path) -> None:
    """Writes a model so that equal models are equal files."""
    path.write_bytes(model.SerializeToString(deterministic=True))


class OnnxTarget(Target):
    """``<graph>.onnx`` for each graph, opset 18, simplified. INT8 is in standard QuantizeLinear/DequantizeLinear nodes."""

    name = "onnx"
    description = "ONNX opset 18 (float32, int8 QDQ), executed by ONNX Runtime"
    precisions = (Precision.FLOAT32, Precision.INT8)

    def availability(self) -> Availability:
        return availability((*PACKAGES, RUNTIME), (RUNTIME,))

    def preflight(self, program: Program, precisions: Sequence[Precision]) -> tuple[Finding, ...]:
        require(self.name, (*PACKAGES, RUNTIME))
        from .preflight import findings

        return findings(program)

    def emit(self, program: Program, precision: Precision, folder: Path) -> Artifact:
        require(self.name, (*PACKAGES, RUNTIME))
        graphs, notes = [], ()
        from .rewrites.plain_prelu import plain_prelu

        for graph in program.graphs:
            model, asked, graph_notes = build(program, graph, precision, file_rewrites(graph), float_rewrites=(plain_prelu,))
            save(model, folder / f"{graph.name}.onnx")
            graphs.append(described(graph, f"{graph.name}.onnx", precision, asked))
            notes += graph_notes
        return describe(self.name, program, precision, folder, graphs=graphs, notes=notes)

    def module_times(self, artifact: Artifact, folder: Path, graph: str, *, inputs: Arrays, threads: int) -> Mapping[str, float]:
        require(self.name, (RUNTIME,))
        from .profile import module_times

        return module_times(graph_path(artifact, folder, graph), artifact.graph(graph), inputs, threads)

    def open(self, artifact: Artifact, folder: Path, graph: str, threads: int) -> Runner:
        require(self.name, (RUNTIME,))
        from .runner import OrtRunner

        return OrtRunner(graph_path(artifact, folder, graph), artifact, graph, threads)
