"""What ``[targets.options.tensorrt]`` and ``[targets.options.tensorrt_rtx]`` may say."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from ...recipe.complaints import parse_options
from ...recipe.section import Section

Capability = Annotated[int, Field(ge=50, le=999)]
# Turing, A100, Ampere, Ada, Blackwell: GPUs that TensorRT for RTX builds for.
DEFAULT_CAPABILITIES = (75, 80, 86, 89, 120)


class TensorRTOptions(Section):
    """Options of both targets.

    Attributes:
        capabilities: compute capabilities to build for without a GPU, e.g. 86 for 8.6 (``tensorrt_rtx``).
        workspace_mib: memory that an engine may use for scratch at most; by default all that the GPU has.
        precision: ``each`` ships every precision that is built, ``fastest`` the one that is measured fastest on a GPU.
    """

    capabilities: Annotated[tuple[Capability, ...], Field(min_length=1)] = DEFAULT_CAPABILITIES
    workspace_mib: Annotated[int, Field(ge=1)] | None = None
    precision: Literal["each", "fastest"] = "each"

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> "TensorRTOptions":
        """Of the recipe's table. Raises InstantStyleError for an unknown key or a wrong value."""
        return parse_options(cls, options)
