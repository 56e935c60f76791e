"""Pruning of a whole model as a recipe says."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from torch import Tensor

from ...model.graph import Graph, Model, Sample
from ...model.runs import graph_inputs
from ...recipe.complaints import suggestion
from ...recipe.settings import PruneSettings
from ...system.errors import RecipeError
from .prune import Pruned, prune_graph


def touched(model: Model, settings: PruneSettings) -> tuple[str, ...]:
    """Names of the graphs that a pattern with a ratio above 0 may match."""
    patterns = [pattern for ratios in (settings.channels, settings.heads) for pattern, ratio in ratios.items() if ratio]
    return tuple(graph.name for graph in model.graphs if any(fnmatchcase(name, pattern) for name in _paths(graph) for pattern in patterns))


def prune_model(
    model: Model, samples: Sequence[Sample], settings: PruneSettings, scores: Mapping[str, Mapping[str, Tensor]]
) -> tuple[Model, tuple[Pruned, ...]]:
    """A model without its least important heads and channels. Graphs that no pattern touches are the very same objects.

    Args:
        samples: to trace and to check the pruned graphs with.
        scores: importance by graph and group, as ``score_graph`` gives it, of every graph that is touched.

    Raises:
        PruneError: a graph does not run, or a layer that is asked for by its full name has to stay whole.
    """
    fed = next(iter(graph_inputs(model, samples[:1])))
    graphs, rows = [], []
    for graph in model.graphs:
        pruned, found = graph, ()
        if graph.name in scores:
            pruned, found = prune_graph(
                graph,
                fed[graph.name],
                scores=scores[graph.name],
                channels=settings.channels,
                heads=settings.heads,
                multiple=settings.multiple,
            )
        graphs.append(pruned)
        rows += found
    return replace(model, graphs=tuple(graphs)), tuple(rows)


def check_patterns(model: Model, settings: PruneSettings, recipe: Path) -> None:
    """Refuses settings that speak of what the model does not have.

    Args:
        recipe: for messages.

    Raises:
        RecipeError: a pattern matches no module, or a graph is unknown.
    """
    names = [name for graph in model.graphs for name in _paths(graph)]
    for key, ratios in (("channels", settings.channels), ("heads", settings.heads)):
        for pattern in ratios:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise RecipeError(f"{recipe}: prune.{key}: '{pattern}' matches no module of the model{suggestion(pattern, names)}")
    graphs = [graph.name for graph in model.graphs]
    for key, given in (("steps", settings.recover.steps), ("rounded.steps", settings.recover.rounded.steps)):
        for name in given if isinstance(given, dict) else ():
            if name not in graphs:
                raise RecipeError(f"{recipe}: prune.recover.{key}: the model has no graph '{name}'{suggestion(name, graphs)}")


def _paths(graph: Graph) -> list[str]:
    """What patterns may match: modules, and weights that a module has under names of its own."""
    weights = [name for name, _ in graph.module.named_parameters() if not name.endswith((".weight", ".bias"))]
    return [f"{graph.name}.{path}" for path in (*(path for path, _ in graph.module.named_modules() if path), *weights)]
