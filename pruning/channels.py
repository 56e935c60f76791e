"""Channels that can only be removed together, what each of them matters, and a network without some of them.

A convolution's output channel is also a channel of every normalisation, skip, residual sum and AdaIN that it passes on its way
to the layers that read it. ``torch-pruning`` follows these dependencies (Fang et al. 2023, arXiv:2301.12900).
"""

import copy
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..model.errors import PruneError

PRODUCERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Reader:
    """A layer that reads a group: its input channel ``inputs[i]`` is the group's channel ``channels[i]``."""

    path: str
    inputs: Tensor
    channels: Tensor


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that are removed together, one index through all layers.

    Attributes:
        name: module path of the first layer that makes them.
        producers: all that make them.
        readers: all that read them.
        obstacle: why none can be removed, or empty.
    """

    name: str
    width: int
    producers: tuple[str, ...]
    readers: tuple[Reader, ...]
    obstacle: str = ""


def channel_groups(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[ChannelGroup, ...]:
    """All groups of ``module``, found by tracing it on ``inputs``.

    Raises:
        PruneError: it cannot be traced.
    """
    graph = _dependencies(module, inputs)
    groups = list(graph.get_all_groups(root_module_types=list(PRODUCERS)))
    return tuple(_describe(graph, group) for group in groups)


def _dependencies(module: nn.Module, inputs: tuple[Tensor, ...]):
    import torch_pruning

    logging.getLogger("torch_pruning").setLevel(logging.ERROR)
    graph = torch_pruning.DependencyGraph()
    try:
        with torch.enable_grad():
            return graph.build_dependency(module, example_inputs=inputs, verbose=False)
    except Exception as error:
        # Whatever a user's forward raises under tracing.
        raise PruneError(f"the dependencies of {type(module).__name__}'s channels cannot be traced: {error}") from error


def _describe(graph, group) -> ChannelGroup:
    names: dict[nn.Module, str] = graph._module2name
    producers, readers = [], []
    for item in group:
        target, prunes = item.dep.target.module, item.dep.handler.__name__
        if not isinstance(target, PRODUCERS):
            continue
        if prunes == "prune_out_channels":
            producers.append(names[target])
        else:
            readers.append(Reader(names[target], torch.tensor(item.idxs), torch.tensor(item.root_idxs)))
    root = group[0].dep.target.module
    width = root.out_features if isinstance(root, nn.Linear) else root.out_channels
    obstacle = "" if readers else "its channels are an output of the graph"
    return ChannelGroup(names[root], width, tuple(dict.fromkeys(producers)), tuple(readers), obstacle)


def channel_scores(module: nn.Module, group: ChannelGroup) -> Tensor:
    """(width,) derivative of the loss, whose gradients ``module`` holds, by a factor on each channel where it is read."""
    total = torch.zeros(group.width)
    for reader in group.readers:
        layer = module.get_submodule(reader.path)
        weight, gradient = layer.weight, layer.weight.grad  # type: ignore[union-attr]
        assert isinstance(weight, Tensor) and isinstance(gradient, Tensor)
        product = (weight.detach() * gradient).float()
        by_input = product.flatten(1).sum(dim=1) if isinstance(layer, nn.ConvTranspose2d) else product.transpose(0, 1).flatten(1).sum(dim=1)
        total.index_add_(0, reader.channels, by_input[reader.inputs])
    return total


def keep_best(scores: Tensor, ratio: float, multiple: int) -> Tensor:
    """Sorted indices of the most important channels, about ``1 - ratio`` of them.

    Args:
        multiple: their number is rounded to the nearest multiple of this, one multiple at least, where the width is one itself.
    """
    width = len(scores)
    count = width * (1 - ratio)
    step = multiple if width % multiple == 0 else 1
    kept = min(width, max(step, round(count / step) * step))
    return scores.argsort(descending=True, stable=True)[:kept].sort().values


def remove_channels(module: nn.Module, inputs: tuple[Tensor, ...], groups: Iterable[ChannelGroup], keep: Mapping[str, Tensor]) -> nn.Module:
    """A copy of ``module`` without the channels that ``keep`` leaves out.

    Args:
        inputs: to trace and to check with.
        keep: indices to keep by group name; other groups stay whole.

    Raises:
        PruneError: the copy computes something else than the module with these channels silenced.
    """
    chosen = {group.name: group for group in groups if group.name in keep and len(keep[group.name]) < group.width}
    if not chosen:
        return module
    removed = {name: [i for i in range(group.width) if i not in set(keep[name].tolist())] for name, group in chosen.items()}
    pruned = copy.deepcopy(module)
    graph = _dependencies(pruned, inputs)
    for name, indices in removed.items():
        layer = pruned.get_submodule(name)
        graph.get_pruning_group(layer, _prune_outputs(layer), indices).prune()
    for parameter in pruned.parameters():
        parameter.grad = None
    _check(module, pruned, inputs, chosen, removed)
    return pruned


def _prune_outputs(layer: nn.Module) -> Callable:
    import torch_pruning

    if isinstance(layer, nn.Linear):
        return torch_pruning.prune_linear_out_channels
    return torch_pruning.prune_conv_out_channels


def _check(
    module: nn.Module, pruned: nn.Module, inputs: tuple[Tensor, ...], groups: Mapping[str, ChannelGroup], removed: Mapping[str, list[int]]
) -> None:
    """The pruned network against the whole one with the same channels silenced where they are read."""
    silenced = copy.deepcopy(module)
    for name, group in groups.items():
        for reader in group.readers:
            layer = silenced.get_submodule(reader.path)
            gone = reader.inputs[torch.isin(reader.channels, torch.tensor(removed[name]))]
            weight: Tensor = layer.weight  # type: ignore[assignment]
            with torch.no_grad():
                weight.index_fill_(0 if isinstance(layer, nn.ConvTranspose2d) else 1, gone, 0.0)
    try:
        with torch.no_grad():
            pairs = list(zip(_tuple(pruned(*inputs)), _tuple(silenced(*inputs)), strict=True))
    except Exception as error:
        raise PruneError(f"{type(module).__name__} does not run without the pruned channels ({error}); keep its layers whole") from error
    for got, wanted in pairs:
        difference = (got - wanted).abs().max().item() if got.shape == wanted.shape else float("nan")
        if not difference <= TOLERANCE * max(1.0, wanted.abs().max().item()):
            raise PruneError(
                f"{type(module).__name__} computes something else without the pruned channels (off by {difference:.3g}): "
                f"its channels are coupled in a way that cannot be seen from outside; keep one of these whole: {', '.join(groups)}"
            )


def _tuple(value: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (value,) if isinstance(value, Tensor) else tuple(value)
