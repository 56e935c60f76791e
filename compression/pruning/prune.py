"""Pruning of one graph: which heads and channels go, by the settings' patterns, and what came of it."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from ...model.graph import Arrays, Graph
from ...system.errors import PruneError
from .channels import ChannelGroup, Channels, keep_best
from .heads import expose_heads, head_group, heads_of
from .importance import importance
from .trial import channel_groups, remove_channels

Ratios = Mapping[str, float]


@dataclass(frozen=True)
class Pruned:
    """What was asked of a group and what became of it.

    Attributes:
        name: graph and module path of the heads, or of the first layer that makes the channels.
        kind: ``heads`` or ``channels``.
        asked: share that the settings want removed.
        width, kept: before and after; channels that only go together, as the two of a gate, count once.
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


def ratio_of(names: Sequence[str], ratios: Ratios) -> float:
    """The ratio of the first pattern that matches one of the names; 0 if none does. ``*`` stands for anything, dots too."""
    return next((ratio for pattern, ratio in ratios.items() if any(fnmatchcase(name, pattern) for name in names)), 0.0)


@dataclass(frozen=True)
class Prunable:
    """A copy of a graph's module with its heads exposed, and everything in it that can be removed.

    Attributes:
        example: inputs that it was traced with.
        found: groups that are not inside heads.
        heads: by module.
    """

    module: nn.Module
    example: tuple[Tensor, ...]
    found: Channels
    heads: tuple[ChannelGroup, ...]

    @property
    def channels(self) -> tuple[ChannelGroup, ...]:
        """Groups of channels."""
        return self.found.groups


def prunable(graph: Graph, inputs: Arrays, channels: Ratios | None = None, heads: Ratios | None = None) -> Prunable:
    """What can be removed from ``graph``.

    Args:
        inputs: its own, batch 1.
        channels, heads: what is not asked for by these is neither tried nor returned; None is for everything.

    Raises:
        PruneError: it does not run.
    """
    module = copy.deepcopy(graph.module)
    exposed = expose_heads(module, lambda path: heads is None or ratio_of([f"{graph.name}.{path}"], heads) > 0)
    attentions = tuple(head_group(path, attention) for path, attention in exposed.items())
    example = tuple(torch.from_numpy(inputs[spec.name]) for spec in graph.inputs)

    def left_out(group: ChannelGroup) -> bool:
        return inside_heads(group, attentions) or (channels is not None and not asked(graph, group, channels))

    nothing = channels is not None and not any(channels.values())
    found = Channels.none() if nothing else channel_groups(module, example, left_out)
    return Prunable(module, example, found, tuple(group for group in attentions if heads is None or asked(graph, group, heads)))


def asked(graph: Graph, group: ChannelGroup, ratios: Ratios) -> float:
    """Share of the group that is to go: of all layers that make its channels, what the first pattern that matches says."""
    return ratio_of([f"{graph.name}.{name}" for name in (group.name, *group.producers)], ratios)


def score_graph(
    graph: Graph, inputs: Sequence[Arrays], say: Callable[[int, int], None], channels: Ratios | None = None, heads: Ratios | None = None
) -> dict[str, Tensor]:
    """Importance of every channel and head that could be removed, by group.

    Args:
        inputs: of the graph, batch 1.
        say: called with passes done and of how many.
        channels, heads: as in ``prunable``.

    Raises:
        PruneError: the graph does not run.
    """
    found = prunable(graph, inputs[0], channels, heads)
    free = [group for group in (*found.heads, *found.channels) if not group.obstacle]
    return importance(found.module, graph, inputs=inputs, groups=free, say=say) if free else {}


def prune_graph(
    graph: Graph, inputs: Arrays, *, scores: Mapping[str, Tensor], channels: Ratios, heads: Ratios, multiple: int
) -> tuple[Graph, tuple[Pruned, ...]]:
    """A graph without its least important heads and channels; the very same graph if none is to go.

    A group that cannot be pruned stays whole, and its row says why.

    Args:
        inputs: of the graph, batch 1, to trace and to check with.
        scores: of ``score_graph``.
        channels, heads: share to remove by pattern of ``<graph>.<module path>``. Heads of all modules that one pattern matches compete
            with each other, channels within their group.
        multiple: widths become multiples of it.

    Raises:
        PruneError: the graph does not run, or channels that ``channels`` asks for by the full name of a layer have to stay.
    """
    found = prunable(graph, inputs, channels, heads)
    rows: list[Pruned] = []

    def note(group: ChannelGroup, kind: str, ratio: float, kept: int) -> None:
        score = tuple(scores[group.name].tolist()) if group.name in scores else ()
        rows.append(Pruned(f"{graph.name}.{group.name}", kind, ratio, group.width, kept, score, group.obstacle))

    keep = {
        group.name: keep_best(scores[group.name], asked(graph, group, channels), group.step(multiple))
        for group in found.channels
        if not group.obstacle
    }
    pruned, refused = remove_channels(found.module, found.example, found.found, keep)
    for group in found.channels:
        group = replace(group, obstacle=refused.get(group.name, group.obstacle))
        _refuse_exact(graph, group, channels)
        note(group, "channels", asked(graph, group, channels), group.width if group.obstacle else len(keep[group.name]))
    kept_heads = _best_heads(graph.name, found.heads, scores, heads)
    after = heads_of(pruned)
    for group in found.heads:
        indices = kept_heads[group.name]
        if len(indices) < group.width:
            after[group.name].keep_heads(indices)
        note(group, "heads", asked(graph, group, heads), len(indices))
    changed = any(row.kept < row.width for row in rows)
    return (replace(graph, module=pruned.eval()) if changed else graph), tuple(rows)


def _refuse_exact(graph: Graph, group: ChannelGroup, ratios: Ratios) -> None:
    """Patterns may match what cannot be pruned; the full name of a layer is meant."""
    for name in (f"{graph.name}.{path}" for path in (group.name, *group.producers)):
        if group.obstacle and ratios.get(name):
            raise PruneError(
                f"prune.channels: channels of '{name}' cannot be removed: {group.obstacle}. Give '{name}' 0, before other patterns that "
                f"match it"
            )


def inside_heads(group: ChannelGroup, heads: Sequence[ChannelGroup]) -> bool:
    """Whether these are the channels of heads, which only go together: made in their modules, but not by the layer that reads the heads."""
    modules = {head.name for head in heads}
    outs = {head.readers[0].layer for head in heads}
    return all(producer.rpartition(".")[0] in modules and producer not in outs for producer in group.producers)


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
