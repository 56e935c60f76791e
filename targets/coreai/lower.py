"""A captured graph to an ``.aimodel`` asset: Apple's own converter, on the program in Core AI's operators."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from torch.export import ExportedProgram
from torch.fx import GraphModule

from ...capture.program import GraphProgram, Program
from ...recipe.precision import Precision
from ...system.errors import CaptureError
from ...system.silence import silence
from ..declared import facts
from ..identity import source
from ..pt2.lean import drop_unused, export_again
from ..unsigned_activations import unsigned_activations
from .contents import FACTS, METADATA, module_of
from .grids import own_operators
from .half import compute_half

if TYPE_CHECKING:
    from coreai.authoring import AIProgram

PRIVATE, NAME = "priv", "sym_name"


def write(path: Path, program: Program, graph: GraphProgram, precision: Precision) -> None:
    """Writes an asset, a folder. CaptureError if the program has no int8, or Core AI no form of it."""
    from coreai.runtime import AIModelAssetMetadata

    captured = source(graph, precision)
    if captured is None:
        raise CaptureError(f'graph \'{graph.name}\' has no int8 program: set quantize.method to "qat" or "ptq" in the recipe')
    metadata = AIModelAssetMetadata()
    origin = program.provenance
    metadata.author, metadata.license, metadata.model_description = origin.author, origin.license, f"{program.model}: {graph.name}"
    metadata.set_custom(FACTS, dict(facts(program, graph, precision, program.size)))
    with silence(native=True):
        lowered = lower(graph, prepared(graph, captured, precision))
        asset = lowered.save_asset(path, metadata)
    asset.update_metadata(lambda found: setattr(found, "creation_date", None))
    # Its keys are in another order each time.
    described = path / METADATA
    described.write_text(json.dumps(json.loads(described.read_text("utf-8")), indent=1, sort_keys=True, ensure_ascii=False), "utf-8")


def prepared(graph: GraphProgram, captured: ExportedProgram, precision: Precision) -> ExportedProgram:
    """The program without what nobody reads, in the operators that the converter takes. CaptureError if it has no such form."""
    import coreai_torch

    # Registers Core AI's operators; no public name does.
    import coreai_torch._compression.custom_layers

    module: GraphModule = captured.module(check_guards=False)  # pyright: ignore[reportAssignmentType]
    try:
        if precision is Precision.INT8:
            unsigned_activations(module)
            own_operators(module)
        elif precision is Precision.FLOAT16:
            compute_half(module)
        drop_unused(module)
        return export_again(module).run_decompositions(coreai_torch.get_decomp_table())
    except Exception as error:  # PyTorch fails with many unrelated classes
        raise refused(graph, error) from error


def lower(graph: GraphProgram, program: ExportedProgram) -> "AIProgram":
    """What is executed, as Core AI writes it down. CaptureError if it has no form of an operator."""
    from coreai_torch import TorchConverter

    # Without the history of each operation, which has paths of this machine in it.
    converter = TorchConverter(mode=TorchConverter.Mode.RELEASE)
    inputs, outputs = ([spec.name for spec in specs] for specs in (graph.inputs, graph.outputs))
    try:
        lowered = converter.add_exported_program(program, input_names=inputs, output_names=outputs).to_coreai()
    except Exception as error:  # it fails with many unrelated classes
        raise refused(graph, error) from error
    _name_in_order(lowered)
    return lowered


def _name_in_order(program: "AIProgram") -> None:
    """Graphs of composite operators get the names of their places instead of random ones."""
    from coreai._compiler.ir import StringAttr, SymbolTable

    module = module_of(program)
    with module.context:
        private = [each.operation for each in module.body.operations if PRIVATE in each.operation.attributes]
        for place, graph in enumerate(private):
            name = StringAttr(graph.attributes[NAME]).value
            stable = f"{name.rpartition('_')[0]}_{place}"
            SymbolTable.replace_all_symbol_uses(name, stable, module.operation)
            graph.attributes[NAME] = StringAttr.get(stable)


def refused(graph: GraphProgram, error: Exception) -> CaptureError:
    """What is raised of a graph that cannot be lowered, with the first line of the reason."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = f"{type(error).__name__}: {lines[0] if lines else 'it gives no reason'}"
    why = str(error) if isinstance(error, CaptureError) else f"{said}; write that part otherwise"
    return CaptureError(f"graph '{graph.name}' has no form in Core AI: {why}")
