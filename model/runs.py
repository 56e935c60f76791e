"""Graphs as they run in eager PyTorch, float32."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from torch import nn

from ..system.errors import InstantStyleError
from .graph import Arrays, Graph, Model, Run, Sample


def runs_from_modules(model: Model) -> dict[str, Run]:
    """Run functions of the model's graphs in eager PyTorch, float32, without gradients. Puts the modules into eval mode."""
    return {graph.name: run_of(graph, graph.module.eval()) for graph in model.graphs}


def graph_inputs(model: Model, samples: Iterable[Sample]) -> Iterator[dict[str, Arrays]]:
    """What the scenario feeds to each graph, sample by sample, with every graph in float PyTorch."""
    runs = runs_from_modules(model)
    for sample in samples:
        fed: dict[str, Arrays] = {}

        def recorded(name: str, inputs: Arrays, fed: dict[str, Arrays] = fed) -> dict[str, np.ndarray]:
            fed[name] = inputs
            return runs[name](inputs)

        model.scenario({name: partial(recorded, name) for name in runs}, sample.inputs)
        yield fed


def run_of(graph: Graph, module: nn.Module) -> Run:
    """What a module computes in the place of a graph's own, in the mode that it is in: one with fake quantisers has no eval mode."""

    def run(inputs: Arrays) -> dict[str, np.ndarray]:
        with torch.inference_mode():
            device = device_of(module)
            result = module(*(_tensor(inputs[spec.name]).to(device) for spec in graph.inputs))
        tensors = result if isinstance(result, tuple) else (result,)
        if len(tensors) != len(graph.outputs):
            raise InstantStyleError(
                f"graph '{graph.name}' returns {len(tensors)} outputs, the model declares {len(graph.outputs)}: "
                f"{', '.join(spec.name for spec in graph.outputs)}"
            )
        return {spec.name: tensor.cpu().numpy() for spec, tensor in zip(graph.outputs, tensors, strict=True)}

    return run


def device_of(module: nn.Module) -> torch.device:
    """Where a module's weights are; the CPU for one that has none."""
    return next((parameter.device for parameter in module.parameters()), torch.device("cpu"))


def _tensor(array: np.ndarray) -> torch.Tensor:
    """A copy: a module may change its inputs in place, and samples are used again."""
    return torch.from_numpy(np.array(array, np.float32, order="C"))


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Gives PyTorch that many threads, and the former number back afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
