"""Pruning of a whole model as a recipe says."""

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from ..calibration.samples import Sample
from ..export.progress import Report
from ..export.quantize import graph_inputs
from ..export.recipe_errors import suggestion
from ..export.settings import PruneSettings
from ..model.errors import RecipeError
from ..model.graph import Model
from .prune import Pruned, prune_graph


def prune_model(
    model: Model, samples: Sequence[Sample], settings: PruneSettings, recipe: Path, report: Report
) -> tuple[Model, tuple[Pruned, ...]]:
    """A model without its least important heads and channels. Graphs that no pattern touches are the very same objects.

    Args:
        recipe: for messages.

    Raises:
        RecipeError: a pattern matches no module.
        PruneError: the model cannot be pruned so.
    """
    _check_patterns(model, settings, recipe)
    fed = list(graph_inputs(model, samples))
    graphs, rows = [], []
    for position, graph in enumerate(model.graphs):
        inputs = [inputs[graph.name] for inputs in fed]

        def say(done: int, total: int, position: int = position, name: str = graph.name) -> None:
            report(position * total + done, len(model.graphs) * total, f"importance in {name}")

        pruned, found = prune_graph(graph, inputs, settings.channels, settings.heads, settings.multiple, say)
        graphs.append(pruned)
        rows += found
    return replace(model, graphs=tuple(graphs)), tuple(rows)


def _check_patterns(model: Model, settings: PruneSettings, recipe: Path) -> None:
    names = [f"{graph.name}.{path}" for graph in model.graphs for path, _ in graph.module.named_modules() if path]
    for key, ratios in (("channels", settings.channels), ("heads", settings.heads)):
        for pattern in ratios:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise RecipeError(f"{recipe}: prune.{key}: '{pattern}' matches no module of the model{suggestion(pattern, names)}")
    graphs = [graph.name for graph in model.graphs]
    for name in settings.recover.steps if isinstance(settings.recover.steps, dict) else ():
        if name not in graphs:
            raise RecipeError(f"{recipe}: prune.recover.steps: the model has no graph '{name}'{suggestion(name, graphs)}")
