"""Whether a graph computes what its module does, before anything is built on it, and where it stops doing so.

Float graphs: the outputs may differ by 1e-4 of their largest magnitude. Where a net amplifies rounding so much that its
own outputs move by more when its inputs move by one float32 rounding, by ten times that: no two orders of summation
agree better.

Int8 programs: every node, given the values of its twin under fake quantisation, may differ by 1e-4 of its largest magnitude, a
dequantised value by one level of its scale. Outputs as a whole have no such limit, because an untrained net turns one level inside
into many; with equal arguments at every node, one level is what rounding can explain.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from ..model.graph import Arrays, Graph, Size
from ..system.errors import CaptureError
from .lockstep import Difference, Twin, difference, first_difference, largest
from .module_values import first_module_apart
from .normalization.nodes import origin
from .program import module_path, operator_name

RELATIVE = 1e-4
ROUNDINGS = 10
FLOAT_ROUNDING = 2.0**-23
RANDOM = {
    "rand",
    "randn",
    "randint",
    "rand_like",
    "randn_like",
    "randint_like",
    "normal",
    "uniform",
    "bernoulli",
    "randperm",
    "multinomial",
}


def probe_inputs(graph: Graph, size: Size, samples: Sequence[Arrays] = (), batch: int = 1) -> tuple[Tensor, ...]:
    """Inputs for a check, in a graph's order: the first samples one after the other, or seeded random numbers over each range."""
    generator = np.random.default_rng(0)
    drawn = [
        {spec.name: generator.uniform(spec.minimum, spec.maximum, spec.shape(size)).astype(np.float32) for spec in graph.inputs}
        for _ in range(batch if not samples else 0)
    ]
    chosen = drawn or [samples[index % len(samples)] for index in range(batch)]
    return tuple(torch.from_numpy(np.concatenate([sample[spec.name] for sample in chosen]).astype(np.float32)) for spec in graph.inputs)


@torch.no_grad()
def check_same(graph: Graph, captured: GraphModule, rewritten: nn.Module, inputs: tuple[Tensor, ...], what: str) -> None:
    """Compares a float graph with its module, one sample of the batch at a time in the module.

    Args:
        captured: the graph as it was captured, for the search where they part.
        rewritten: what was made of it; every node knows its origin.
        what: of it, for the message.

    Raises:
        CaptureError: they differ; names the module of the first node that does.
    """
    wanted = _outputs_one_by_one(graph.module, inputs)
    found = _outputs(rewritten, inputs)
    if len(found) != len(wanted):
        raise CaptureError(f"graph '{graph.name}': {what} has {len(found)} outputs, the model {len(wanted)}")
    distances = [difference(mine, theirs) for mine, theirs in zip(found, wanted, strict=True)]
    allowed = [RELATIVE * largest(value) for value in wanted]
    if all(distance <= limit for distance, limit in zip(distances, allowed, strict=True)):
        return
    rounding = [ROUNDINGS * each for each in _rounding(graph.module, inputs, wanted)]
    worst = [(d, max(a, r)) for d, a, r in zip(distances, allowed, rounding, strict=True) if not d <= max(a, r)]
    if worst:
        raise CaptureError(
            f"graph '{graph.name}': {what} computes something else than the model: "
            f"{worst[0][0]:.3g} apart, {worst[0][1]:.3g} allowed; {_where(graph, captured, rewritten, inputs)}. Nothing was calibrated. "
            "Write that part of the model with other operators"
        )


@torch.no_grad()
def check_converted(graph: Graph, prepared: GraphModule, converted: GraphModule, inputs: tuple[Tensor, ...]) -> None:
    """Compares an int8 program with fake quantisation, node by node.

    Args:
        prepared: with fake quantisation on and final ranges.
        converted: every node has the name of its twin in ``prepared`` as its origin.

    Raises:
        CaptureError: they differ; names the module of the first node that does.
    """
    found = first_difference(
        converted, prepared, twins=_twins_of_converted(prepared, converted), inputs=inputs, relative=RELATIVE, together=True
    )
    if found is not None:
        raise CaptureError(
            f"graph '{graph.name}': the int8 program computes something else than fake quantisation, first in {_described(found)}. "
            "Keep that module out with quantize.keep_float, or write it with other operators"
        )


def _twins_of_converted(prepared: GraphModule, converted: GraphModule) -> dict[Node, Twin]:
    """Calls by their names, and what each reads by its place among their arguments: a dequantised value for a fake quantiser's."""
    by_name = {node.name: node for node in prepared.graph.nodes}
    twins: dict[Node, Twin] = {}
    for node in converted.graph.nodes:
        other = by_name.get(origin(node) or "") if node.op == "call_function" else by_name.get("output") if node.op == "output" else None
        # The parts of a value of several tensors have the whole's origin.
        if other is None or (other.op, other.target) != (node.op, node.target):
            continue
        for mine, theirs in zip(_arguments(node), _arguments(other), strict=False):
            if operator_name(mine).startswith("dequantize") and theirs.op == "call_module":
                scale = prepared.get_submodule(str(theirs.target)).scale
                twins[mine] = Twin(theirs, 1.001 * float(scale.max()))  # type: ignore[operator,union-attr]
        twins[node] = Twin(other)
    return twins


def _arguments(node: Node) -> list[Node]:
    found: list[Node] = []
    map_arg((node.args, node.kwargs), lambda source: found.append(source) or source)
    return found


def _outputs(module: nn.Module, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    result = module(*(value.clone() for value in inputs))
    return [result] if isinstance(result, Tensor) else list(result)


def _outputs_one_by_one(module: nn.Module, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    """As an artifact computes: what depends on the other samples of a batch is no property of a sample."""
    rows = [_outputs(module, tuple(value[index : index + 1] for value in inputs)) for index in range(len(inputs[0]))]
    return [torch.cat(column) for column in zip(*rows, strict=True)]


def _rounding(module: nn.Module, inputs: tuple[Tensor, ...], wanted: Sequence[Tensor]) -> list[float]:
    """How far the module's outputs move when every input moves by one rounding; 0 if they move without that."""
    again = _outputs_one_by_one(module, inputs)
    if any(difference(mine, theirs) > RELATIVE * largest(theirs) for mine, theirs in zip(again, wanted, strict=True)):
        return [0.0] * len(wanted)
    generator = torch.Generator().manual_seed(0)
    moved = tuple(value * (1 + FLOAT_ROUNDING * (2 * torch.rand(value.shape, generator=generator).round() - 1)) for value in inputs)
    return [difference(mine, theirs) for mine, theirs in zip(_outputs_one_by_one(module, moved), wanted, strict=True)]


def _where(graph: Graph, captured: GraphModule, rewritten: nn.Module, inputs: tuple[Tensor, ...]) -> str:
    """The first place where they part, in words."""
    random = next((node for node in captured.graph.nodes if node.op == "call_function" and operator_name(node).rstrip("_") in RANDOM), None)
    if random is not None:
        return (
            f"module '{module_path(random)}' draws random numbers ({operator_name(random)}), which no artifact repeats, whatever the seed: "
            "keep them in a buffer, or give them as an input"
        )
    apart = first_module_apart(graph.module, captured, inputs, RELATIVE)
    if apart is not None:
        return f"torch.export captured it differently, first in module '{apart}'"
    if isinstance(rewritten, GraphModule):
        origins = {node.name: node for node in captured.graph.nodes}
        named = {node: origins[name] for node, name in _last_of_origin(rewritten).items() if name in origins}
        twins = {node: Twin(other) for node, other in named.items() if _shape(node) == _shape(other) is not None}
        found = first_difference(rewritten, captured, twins=twins, inputs=inputs, relative=RELATIVE, together=False)
        if found is not None:
            return f"first in {_described(found)}"
    return "no single module differs"


def _last_of_origin(module: GraphModule) -> dict[Node, str]:
    last = {name: node for node in module.graph.nodes if node.op == "call_function" and (name := origin(node)) is not None}
    return {node: name for name, node in last.items()}


def _shape(node: Node) -> torch.Size | None:
    """Of a tensor: what changes a part of one in place has another shape than what it became, the whole."""
    value = node.meta.get("val")
    return value.shape if isinstance(value, Tensor) else None


def _described(found: Difference) -> str:
    return (
        f"module '{module_path(found.node)}' (node '{found.node.name}', {operator_name(found.node)}): "
        f"{found.found:.3g} apart, {found.allowed:.3g} allowed"
    )
