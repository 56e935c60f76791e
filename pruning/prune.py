"""Pruning of one graph: which heads and channels go, by the settings' patterns, and what came of it."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from ..model.graph import Arrays, Graph
from .channels import ChannelGroup, channel_groups, keep_best, remove_channels
from .heads import expose_heads, head_group
from .importance import importance

Ratios = Mapping[str, float]


@dataclass(frozen=True)
class Pruned:
    """What was asked of a group and what became of it.

    Attributes:
        name: graph and module path of the heads, or of the first layer that makes the channels.
        kind: ``heads`` or ``channels``.
        asked: share that the settings want removed.
        width, kept: before and after.
        importance: of each before: squared change of the graph's output without it, as a share of the output's square.
        obstacle: why nothing was removed, or empty.
    """

    name: str
    kind: str
    asked: float
    width: int
    kept: int
    importance: tuple[float, ...]
    obstacle: str = ""

    @property
    def reached(self) -> float:
        """Share that was removed."""
        return 1 - self.kept / self.width


def ratio_of(name: str, ratios: Ratios) -> float:
    """The ratio of the first pattern that matches; 0 if none does. ``*`` stands for anything, dots too."""
    return next((ratio for pattern, ratio in ratios.items() if fnmatchcase(name, pattern)), 0.0)


@dataclass(frozen=True)
class Prunable:
    """A copy of a graph's module with its heads exposed, and everything in it that can be removed.

    Attributes:
        example: inputs that it was traced with.
        channels: groups that are not inside heads.
        heads: by module.
    """

    module: nn.Module
    example: tuple[Tensor, ...]
    channels: tuple[ChannelGroup, ...]
    heads: tuple[ChannelGroup, ...]


def prunable(graph: Graph, inputs: Arrays) -> Prunable:
    """What can be removed from ``graph``; ``inputs`` are its own, batch 1.

    Raises:
        PruneError: it cannot be traced.
    """
    module = copy.deepcopy(graph.module)
    heads = tuple(head_group(path, attention) for path, attention in expose_heads(module).items())
    example = tuple(torch.from_numpy(inputs[spec.name]) for spec in graph.inputs)
    channels = tuple(group for group in channel_groups(module, example) if not inside_heads(group, heads))
    return Prunable(module, example, channels, heads)


def score_graph(graph: Graph, inputs: Sequence[Arrays], say: Callable[[int, int], None]) -> dict[str, Tensor]:
    """Importance of every channel and head that could be removed, by group.

    Args:
        inputs: of the graph, batch 1.
        say: called with passes done and of how many.

    Raises:
        PruneError: the graph cannot be traced.
    """
    found = prunable(graph, inputs[0])
    free = [group for group in (*found.heads, *found.channels) if not group.obstacle]
    return importance(found.module, graph, inputs, free, say) if free else {}


def prune_graph(
    graph: Graph, inputs: Arrays, scores: Mapping[str, Tensor], channels: Ratios, heads: Ratios, multiple: int
) -> tuple[Graph, tuple[Pruned, ...]]:
    """A graph without its least important heads and channels; the very same graph if none is to go.

    Args:
        inputs: of the graph, batch 1, to trace and to check with.
        scores: of ``score_graph``.
        channels, heads: share to remove by pattern of ``<graph>.<module path>``. Heads of all modules that one pattern matches compete
            with each other, channels within their group.
        multiple: widths become multiples of it.

    Raises:
        PruneError: the graph cannot be traced, or computes something else without these channels.
    """
    found = prunable(graph, inputs)
    wanted_heads = [group for group in found.heads if ratio_of(f"{graph.name}.{group.name}", heads)]
    rows: list[Pruned] = []

    def note(group: ChannelGroup, kind: str, asked: float, kept: int) -> None:
        score = tuple(scores[group.name].tolist()) if group.name in scores else ()
        rows.append(Pruned(f"{graph.name}.{group.name}", kind, asked, group.width, kept, score, group.obstacle))

    keep: dict[str, Tensor] = {}
    for group in found.channels:
        ratio = ratio_of(f"{graph.name}.{group.name}", channels)
        if not ratio:
            continue
        if not group.obstacle:
            keep[group.name] = keep_best(scores[group.name], ratio, multiple)
        note(group, "channels", ratio, len(keep[group.name]) if group.name in keep else group.width)
    pruned = remove_channels(found.module, found.example, found.channels, keep)
    kept_heads = _best_heads(graph.name, wanted_heads, scores, heads)
    after = expose_heads(pruned)
    for group in wanted_heads:
        indices = kept_heads[group.name]
        if len(indices) < group.width:
            after[group.name].keep_heads(indices)
        note(group, "heads", ratio_of(f"{graph.name}.{group.name}", heads), len(indices))
    changed = any(row.kept < row.width for row in rows)
    return (replace(graph, module=pruned.eval()) if changed else graph), tuple(rows)


def inside_heads(group: ChannelGroup, heads: Sequence[ChannelGroup]) -> bool:
    """Whether these are the channels of heads, which only go together."""
    return any(reader.path == heads_group.readers[0].path for heads_group in heads for reader in group.readers) and all(
        producer.rpartition(".")[0] in {heads_group.name for heads_group in heads} for producer in group.producers
    )


def _best_heads(graph: str, groups: Sequence[ChannelGroup], scores: Mapping[str, Tensor], ratios: Ratios) -> dict[str, list[int]]:
    """Indices to keep by module: of each pattern's heads the most important, one of every module at least."""
    keep: dict[str, list[int]] = {}
    for pattern, ratio in ratios.items():
        matched = [group for group in groups if group.name not in keep and fnmatchcase(f"{graph}.{group.name}", pattern)]
        ranked = sorted(
            ((scores[group.name][index].item(), group.name, index) for group in matched for index in range(group.width)), reverse=True
        )
        best = {group.name: int(scores[group.name].argmax()) for group in matched}
        count = max(len(matched), round(len(ranked) * (1 - ratio)))
        others = [(name, index) for _, name, index in ranked if best[name] != index]
        chosen = [*best.items(), *others[: count - len(matched)]]
        keep |= {group.name: sorted(index for name, index in chosen if name == group.name) for group in matched}
    return keep


def parameter_count(module: nn.Module) -> int:
    """Parameters of ``module``."""
    return sum(parameter.numel() for parameter in module.parameters())
