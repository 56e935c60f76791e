"""Writes an ML program as a ``.mlpackage``: what an app carries and nothing else, equal byte for byte in every build."""

import json
import uuid
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...model.graph import TensorKind, TensorSpec
from ...model.pixels import describe as describe_values
from ...recipe.precision import Precision
from ..declared import facts
from .features import PREFIX
from .interface import is_image
from .mil.package import main_block, replace_operations

if TYPE_CHECKING:
    from coremltools.models import MLModel

    from ...capture.program import GraphProgram, Program

FOLDER = "com.apple.CoreML"
# What the converter writes about itself; the date would make every build another.
FORGOTTEN = ("com.github.apple.coremltools.conversion_date",)
# A package's items are named by UUIDs; these are derived from their paths.
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "instantstyle")
PRECISION_TEXT = {
    Precision.FLOAT16: "16-bit float",
    Precision.INT8: "int8 weights and activations",
    Precision.INT8_WEIGHTS: "int8 weights, 16-bit float arithmetic",
}


@dataclass(frozen=True)
class Item:
    """An entry of a package's manifest. ``path`` is relative to ``Data``."""

    path: str
    description: str

    @property
    def identifier(self) -> str:
        """The same for the same path."""
        return str(uuid.uuid5(NAMESPACE, self.path))


SPECIFICATION = Item(f"{FOLDER}/model.mlmodel", "CoreML Model Specification")
WEIGHTS = Item(f"{FOLDER}/weights", "CoreML Model Weights")


def write_package(model: "MLModel", program: "Program", graph: "GraphProgram", precision: Precision, path: Path) -> None:
    """Writes the package of one graph, with metadata and with descriptions of its inputs and outputs."""
    specification: Any = model.get_spec()
    tidy_constants(specification)
    describe(specification, program, graph, precision)
    data = path / "Data"
    (data / WEIGHTS.path).mkdir(parents=True)
    (data / SPECIFICATION.path).write_bytes(specification.SerializeToString(deterministic=True))
    weights = Path(model.weights_dir or "")
    for file in sorted(weights.iterdir()) if model.weights_dir else ():
        (data / WEIGHTS.path / file.name).write_bytes(file.read_bytes())
    items = (SPECIFICATION, WEIGHTS)
    manifest = {
        "fileFormatVersion": "1.0.0",
        "itemInfoEntries": {
            item.identifier: {"author": FOLDER, "description": item.description, "name": Path(item.path).name, "path": item.path}
            for item in items
        },
        "rootModelIdentifier": SPECIFICATION.identifier,
    }
    (path / "Manifest.json").write_text(json.dumps(manifest, indent=4) + "\n", encoding="utf-8")


def tidy_constants(specification: Any) -> None:
    """Keeps equal constants once and gives constants names of a few letters: a small model's specification halves.

    Operations keep their names, which Xcode's performance report shows.
    """
    block, inputs = main_block(specification), specification.mlProgram.functions["main"].inputs
    taken = {value.name for value in inputs} | {output.name for operation in block.operations for output in operation.outputs}
    short = (name for number in count() if (name := f"c{number}") not in taken)
    renamed: dict[str, str] = {}
    first: dict[tuple[bytes, bytes], str] = {}
    kept = []
    for operation in block.operations:
        for argument in operation.inputs.values():
            for binding in argument.arguments:
                if binding.WhichOneof("binding") == "name":
                    binding.name = renamed.get(binding.name, binding.name)
        if operation.type == "const" and operation.outputs[0].name not in block.outputs:
            (output,) = operation.outputs
            content = (output.type.SerializeToString(deterministic=True), operation.attributes["val"].SerializeToString(deterministic=True))
            name = first.setdefault(content, next(short))
            renamed[output.name] = name
            if name in taken:
                continue
            taken.add(name)
            output.name = operation.attributes["name"].immediateValue.tensor.strings.values[0] = name
        if operation.type == "cast":
            # The converter numbers the casts that it adds from where the last conversion of the process ended.
            operation.attributes["name"].immediateValue.tensor.strings.values[0] = operation.outputs[0].name
        kept.append(operation)
    replace_operations(block, kept)


def describe(specification: Any, program: "Program", graph: "GraphProgram", precision: Precision) -> None:
    """Metadata that Xcode shows."""
    provenance, metadata = program.provenance, specification.description.metadata
    metadata.shortDescription = f"{program.model}: {graph.name} ({PRECISION_TEXT[precision]})"
    metadata.author, metadata.license, metadata.versionString = provenance.author, provenance.license, provenance.version
    for key in FORGOTTEN:
        metadata.userDefined.pop(key, None)
    for key, value in facts(program, graph, precision, None).items():
        metadata.userDefined[f"{PREFIX}{key}"] = value
    specs = {spec.name: spec for spec in (*graph.inputs, *graph.outputs)}
    for feature in (*specification.description.input, *specification.description.output):
        feature.shortDescription = description(specs[feature.name])


def description(spec: TensorSpec) -> str:
    """One line about an input or output."""
    if is_image(spec):
        return f"{'RGB' if spec.channels == 3 else 'Greyscale'} image"
    if spec.kind is TensorKind.SCALAR:
        return f"A number from {spec.minimum:g} to {spec.maximum:g}"
    if spec.kind is TensorKind.VECTOR:
        return f"{spec.channels} numbers"
    if spec.kind is TensorKind.IMAGE and spec.channels == 4:
        return f"{spec.order}A image, {describe_values(spec)}"
    return f"{spec.channels} channels from {spec.minimum:g} to {spec.maximum:g}"
