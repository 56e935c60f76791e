"""What ``[targets.options.triton]`` may say."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from ...recipe.complaints import parse_options
from ...recipe.section import Section


class TritonOptions(Section):
    """Options of the target.

    Attributes:
        backend: "onnxruntime" is Triton's own, in NVIDIA's images; "python" brings a ``model.py`` beside each file that runs it in ONNX
            Runtime, for servers that have the Python backend alone.
        version: the number of the folder that holds the models, so that several releases can be served at once.
        instances: of each graph: sessions side by side, which is what answers several requests at a time on a CPU.
        threads: of each instance.
        max_batch_size: how many pictures may run as one batch where the graph allows more than one; 1 is no batching.
        queue_delay_us: how long, in microseconds, a picture may wait for others to make a batch with.
    """

    backend: Literal["onnxruntime", "python"] = "onnxruntime"
    version: int = Field(default=1, ge=1)
    instances: int = Field(default=2, ge=1, le=64)
    threads: int = Field(default=1, ge=1, le=256)
    max_batch_size: int = Field(default=4, ge=1, le=128)
    queue_delay_us: int = Field(default=1000, ge=0, le=1_000_000)

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> "TritonOptions":
        """Of the recipe's table. Raises InstantStyleError for an unknown key or a wrong value."""
        return parse_options(cls, options)
