"""The arithmetic that an artifact can be built for."""

from enum import StrEnum

LARGEST_HALF = 65504.0  # of float16


class Precision(StrEnum):
    """Arithmetic of an artifact's convolutions; INT8_WEIGHTS stores int8 weights and computes in float."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    INT8 = "int8"
    INT8_WEIGHTS = "int8-weights"
