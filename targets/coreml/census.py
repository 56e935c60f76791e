"""Which operations a package's program has, and which of its convolutions are int8."""

from collections import Counter
from typing import Any

from ..census import Census
from .mil.package import main_block

CONVOLUTIONS = ("conv", "conv_transpose")
INT8_WEIGHTS = ("constexpr_affine_dequantize", "constexpr_blockwise_shift_scale")


def take_census(specification: Any) -> Census:
    """Of the function ``main``."""
    operations = main_block(specification).operations
    made_by = {output.name: operation.type for operation in operations for output in operation.outputs}
    kinds = Counter(operation.type for operation in operations if operation.type != "const" and not operation.type.startswith("constexpr_"))

    def source(operation: Any, parameter: str) -> str:
        return made_by.get(operation.inputs[parameter].arguments[0].name, "")

    convolutions = [operation for operation in operations if operation.type in CONVOLUTIONS]
    floats = tuple(
        each.outputs[0].name for each in convolutions if source(each, "x") != "dequantize" or source(each, "weight") not in INT8_WEIGHTS
    )
    return Census(len(convolutions), len(convolutions) - len(floats), tuple(kinds.most_common()), floats)
