"""What ``[targets.options.openvino]`` may say."""

from collections.abc import Mapping
from typing import Any, Literal

from ...recipe.complaints import parse_options as parse
from ...recipe.section import Section


class OpenVINOOptions(Section):
    """Options of the target.

    Attributes:
        inference_precision: what is computed in where it is not int8. Left alone, OpenVINO takes bfloat16 on processors that have
            instructions for it (AMX), and says so nowhere but in the compiled model; so it is always asked for, and checked.
    """

    inference_precision: Literal["f32", "f16", "bf16"] = "f32"

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> "OpenVINOOptions":
        """Of the recipe's table. Raises InstantStyleError for an unknown key or a wrong value."""
        return parse(cls, options)
