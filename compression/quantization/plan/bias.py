"""Biases that take the mean error of int8 out of each channel, layer by layer in the order of execution.

Nagel et al. 2019, arXiv:1906.04721, section 4.2, with the means of calibration samples. Every sample goes through the graph twice
at once, in float and under fake quantisation, so that each layer is corrected for what is wrong before it, too.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.fx.node import map_arg

from ....capture.normalization.nodes import LINEAR, argument, tensor_of
from ....capture.program import CONVOLUTIONS
from ..quantize import PreparedGraph, refresh_weight_ranges, set_mode

Values = dict[Node, list[Any]]


@torch.no_grad()
def correct_biases(prepared: PreparedGraph, samples: Sequence[tuple[Tensor, ...]]) -> None:
    """Changes the biases of a prepared graph with final ranges of activations. Fake quantisation is on afterwards.

    Args:
        samples: inputs in the graph's order, batch 1.
    """
    refresh_weight_ranges(prepared)
    set_mode(prepared, fake_quantize=True)
    walk = _Walk(prepared, samples)
    for node in prepared.module.graph.nodes:
        if node.op != "output":
            walk.step(node)


class _Walk:
    """The values of every node that somebody still reads, one of each sample: in float, and as quantised and corrected so far."""

    def __init__(self, prepared: PreparedGraph, samples: Sequence[tuple[Tensor, ...]]) -> None:
        self.module, self.samples = prepared.module, samples
        self.exact: Values = {}
        self.rough: Values = {}
        nodes = prepared.module.graph.nodes
        self.inputs = [node for node in nodes if node.op == "placeholder"]
        self.last_reader = {source: node for node in nodes for source in node.all_input_nodes}

    def step(self, node: Node) -> None:
        if node.op == "placeholder":
            place = self.inputs.index(node)
            self.exact[node] = self.rough[node] = [sample[place] for sample in self.samples]
        elif node.op == "get_attr":
            self.exact[node] = self.rough[node] = [tensor_of(self.module, node).clone()] * len(self.samples)
        elif node.op == "call_module":
            fake, source = self.module.get_submodule(str(node.target)), node.all_input_nodes[0]
            constant = source.op == "get_attr"
            self.exact[node] = self.exact[source]
            rough = [fake(value) for value in self.rough[source][: 1 if constant else None]]
            self.rough[node] = rough * len(self.samples) if constant else rough
        else:
            self.exact[node], self.rough[node] = self._call(node, self.exact), self._call(node, self.rough)
            bias = _own_bias(node)
            if bias is not None:
                self._correct(node, bias)
        for source in node.all_input_nodes:
            if self.last_reader[source] is node:
                del self.exact[source], self.rough[source]

    def _call(self, node: Node, values: Values) -> list[Any]:
        results = []
        for index in range(len(self.samples)):
            args, kwargs = map_arg((node.args, node.kwargs), lambda source, index=index: values[source][index])
            results.append(node.target(*args, **kwargs))  # type: ignore[operator]
        return results

    def _correct(self, node: Node, bias: str) -> None:
        dimensions = self.exact[node][0].dim()
        channels = dimensions - 1 if node.target is LINEAR else 1
        others = [axis for axis in range(dimensions) if axis != channels]
        errors = [(mine - theirs).double().mean(others) for mine, theirs in zip(self.exact[node], self.rough[node], strict=True)]
        shift = torch.stack(errors).mean(0).float()
        self.module.get_parameter(bias).add_(shift)
        shape = [-1 if axis == channels else 1 for axis in range(dimensions)]
        self.rough[node] = [value + shift.reshape(shape) for value in self.rough[node]]


def _own_bias(node: Node) -> str | None:
    """The bias that a quantised layer has for itself."""
    if node.target not in CONVOLUTIONS and node.target is not LINEAR:
        return None
    weight, bias = node.args[1], argument(node, "bias")
    quantised = isinstance(weight, Node) and weight.op == "call_module"
    return str(bias.target) if quantised and isinstance(bias, Node) and bias.op == "get_attr" and len(bias.users) == 1 else None
