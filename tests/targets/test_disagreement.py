"""The disagreement map: runtimes within a level of the program, and a rounding rule that was changed, named by its module."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from disagreement import Disagreement, Tapped, as_markdown, compared, disagreements, tapped, worst
from suite import graph_inputs
from torch.fx import Interpreter, Node

from instantstyle.capture.program import Program
from instantstyle.targets.pt2.target import PT2Target


@pytest.fixture(scope="module")
def tap(program: Program) -> Tapped:
    return tapped(program, "stylizer")


class Altered(Interpreter):
    """A runtime that changes the integers of one quantised tensor and goes on with them."""

    def __init__(self, tap: Tapped, tensor: str, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__(tap.module)
        self._names = {node: name for name, node in tap.taps.items()}
        self._tensor, self._change = tensor, change
        self.found: dict[str, np.ndarray] = {}

    def run_node(self, n: Node) -> Any:
        result = super().run_node(n)
        if n not in self._names:
            return result
        if self._names[n] == self._tensor:
            result = self._change(result)
        scale: Any = n.args[1]
        self.found[self._names[n]] = (result.float() * scale).numpy()
        return result


def altered(tap: Tapped, tensor: str, change: Callable[[torch.Tensor], torch.Tensor]) -> tuple[Disagreement, ...]:
    """The map of such a runtime."""
    given = [torch.from_numpy(array) for array in graph_inputs()["stylizer"].values()]
    runtime = Altered(tap, tensor, change)
    with torch.no_grad():
        runtime.run(*given)
    return compared(tap, "other", runtime.found, given)


def tensor_of(tap: Tapped, module: str) -> str:
    """The output that is a module's quantised result."""
    return next(row.tensor for row in altered(tap, "", lambda integers: integers) if row.module_path == module)


def test_every_quantised_tensor_is_an_output(tap: Tapped, program: Program) -> None:
    assert program.graphs[1].int8_program is not None
    quantizers = [
        node for node in program.graphs[1].int8_program.graph.nodes if "quantize_per_tensor" in node.name and "de" not in node.name
    ]
    assert len(tap.taps) == len(quantizers) == len(tap.graph.outputs) - 1


def test_pytorch_is_within_half_a_level_everywhere(tap: Tapped) -> None:
    rows = disagreements(tap, PT2Target(), graph_inputs()["stylizer"])
    assert 0.4 < worst(rows).levels < 0.501
    assert {"stem", "inner", "bottleneck", "fuse", "skip", "to_rgb", "photo"} <= {row.module_path for row in rows}


def test_litert_computes_with_integers(tap: Tapped) -> None:
    pytest.importorskip("ai_edge_litert", reason="target litert is an extra: pip install instantstyle[litert]")
    from instantstyle.targets.litert.target import LiteRTTarget

    rows = disagreements(tap, LiteRTTarget(), graph_inputs()["stylizer"])
    assert worst(rows).levels < 0.51
    # Of what cannot be negative, half the step.
    assert next(row for row in rows if row.module_path == "stem").levels < 0.26


def test_another_rounding_rule_is_named_by_its_module_alone(tap: Tapped) -> None:
    rows = altered(tap, tensor_of(tap, "inner"), lambda integers: (integers.int() + 2).clamp(-127, 127).to(torch.int8))
    beyond = [row for row in rows if row.levels > 1]
    assert [row.module_path for row in beyond] == ["inner"] and 2.0 <= beyond[0].levels <= 2.51 and beyond[0].share > 0.9
    assert as_markdown({"other": rows}).count("**") == 2


def test_saturation_is_named_by_its_module_alone(tap: Tapped) -> None:
    rows = altered(tap, tensor_of(tap, "to_rgb"), lambda integers: integers.clamp(-40, 40))
    assert [row.module_path for row in rows if row.levels > 1] == ["to_rgb"]
