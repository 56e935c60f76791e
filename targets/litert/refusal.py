"""A node of the program that has no form in LiteRT."""

from torch.fx import Node

from ...capture.program import module_path, operator_name
from ...system.errors import CaptureError
from ..base import Finding

OTHERWISE = "write that line of the model with other operators"


class Refused(CaptureError):
    """What stands in the way, as a finding."""

    def __init__(self, graph: str, node: Node, problem: str = "") -> None:
        path = module_path(node)
        what = problem or f"LiteRT has no form of '{operator_name(node)}'"
        self.finding = Finding(f"{graph}.{path}" if path else graph, what, OTHERWISE)
        super().__init__(f"graph '{graph}': {self.finding}")


class Unsupported(Exception):
    """Raised by an operator's writer: a mode that LiteRT has not; the caller knows the node."""
