"""What is in an asset: its interface, and the operations of its graph. Core AI has no public reader of the latter: its MLIR is walked."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...system.strict_json import parse
from ..census import Census
from ..declared import Declared, Tensor

if TYPE_CHECKING:
    from coreai.authoring import AIProgram
    from coreai.runtime import InferenceFunctionDescriptor

METADATA = "metadata.json"
# The keys of an asset's own metadata, and of the facts in it.
CUSTOM, FACTS = "creatorDefinedMetadata", "instantstyle"
CONVOLUTIONS = frozenset({"coreai.conv2d", "coreai.conv3d", "coreai.conv_transpose2d", "coreai.conv_transpose3d"})
DEQUANTIZE = "coreai.dequantize"
INTEGERS = frozenset({"si8", "ui8"})
# What stands between a rounding and a convolution, and changes no number: border, layout, a dimension more for one of one dimension.
PASSING = frozenset({"coreai.pad", "coreai.transpose", "coreai.reshape", "coreai.expand_dims"})
# No work of their own.
PASSIVE = frozenset({"coreai.constant", "coreai.output", "coreai.graph"})


def declared(path: Path, interface: "InferenceFunctionDescriptor") -> Declared:
    """Types and shapes as the library reads them, facts of the metadata beside the graph."""

    def tensor(name: str, known: Any) -> Tensor:
        return Tensor(name, known.dtype.lower(), tuple(known.shape))

    inputs = tuple(tensor(name, interface.input_descriptor(name)) for name in interface.input_names)
    outputs = tuple(tensor(name, interface.output_descriptor(name)) for name in interface.output_names)
    found = parse((path / METADATA).read_bytes(), f"{path / METADATA} describes no asset")
    return Declared(inputs, outputs, found.get(CUSTOM, {}).get(FACTS, {}))


def census(program: "AIProgram") -> Census:
    """Of all graphs of a program. Convolutions are named by their place in the order of execution: Core AI keeps no names."""
    kinds: Counter[str] = Counter()
    convolutions, floats = 0, []
    for operation in operations(module_of(program)):
        if operation.name not in PASSIVE:
            kinds[operation.name] += 1
        if operation.name in CONVOLUTIONS:
            if not all(_is_integer(operand) for operand in list(operation.operands)[:2]):
                floats.append(str(convolutions))
            convolutions += 1
    return Census(convolutions, convolutions - len(floats), tuple(kinds.most_common()), tuple(floats))


def module_of(program: "AIProgram") -> Any:
    """A program's MLIR module."""
    return program._module._mlir_module


def operations(module: Any) -> Iterator[Any]:
    """All operations in the order of the text, graphs before what is in them."""
    waiting = list(reversed([each.operation for each in module.body.operations]))
    while waiting:
        operation = waiting.pop()
        yield operation
        inside = [each.operation for region in operation.regions for block in region.blocks for each in block.operations]
        waiting += reversed(inside)


def _is_integer(value: Any) -> bool:
    """Whether a value is dequantised 8-bit integers."""
    # An argument of a graph is owned by a block, which has no name.
    owner = value.owner
    while getattr(owner, "name", "") in PASSING:
        owner = owner.operands[0].owner
    return getattr(owner, "name", "") == DEQUANTIZE and str(owner.operands[0].type.element_type) in INTEGERS
