"""From a recipe to a checked ``Model`` in eval mode, with the checkpoint's weights."""

import copy
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import ModuleType

import torch
from torch import nn

from ...model.checkpoint import load_weights
from ...model.graph import Model, Size, TensorKind
from ...model.parametrizations import fold_parametrizations
from ...recipe.recipe import Recipe
from ...recipe.settings import InputSettings, ModelSettings, OutputSettings
from ...system.errors import CheckpointError, RecipeError
from .factory import call_factory, import_factory
from .probe import as_model
from .usable import usable


@dataclass(frozen=True)
class LoadedModel:
    """A model and the module whose sources it came from.

    Attributes:
        bare: the factory returned an ``nn.Module``, whose tensors have no prefix.
        notices: what was decided about the checkpoint.
    """

    model: Model
    source: ModuleType
    bare: bool = False
    notices: tuple[str, ...] = ()


def load_model(recipe: Recipe, given: nn.Module | Model | None = None) -> LoadedModel:
    """Calls the recipe's factory and loads its checkpoint.

    Where the checkpoint goes: to the factory if it declares a parameter ``checkpoint`` (it then loads it itself);
    else into the ``nn.Module`` that it returns, names and shapes strictly equal; else into the graphs of the ``Model``
    that it returns, tensors named ``<graph>.<name in the graph's module>``.

    Args:
        given: the model itself; it is copied, and the recipe's factory is not called.

    Raises:
        RecipeError: the factory, what it returned or a size is wrong.
        CheckpointError: the checkpoint is.
    """
    settings = recipe.model
    if settings.checkpoint is not None and not settings.checkpoint.exists():
        raise CheckpointError(f"{recipe.path}: model.checkpoint: no such file {settings.checkpoint}")
    try:
        if given is not None:
            returned, took_checkpoint, source = copy.deepcopy(given), False, sys.modules[type(given).__module__]
        else:
            function, source = import_factory(settings.factory, recipe.base)
            returned, took_checkpoint = call_factory(function, settings.factory, settings.checkpoint)
        model, notices = to_model(returned, settings, took_checkpoint, recipe.name)
        _check_sizes(model, "model.sizes", settings.sizes)
        if recipe.quantize.method == "qat":
            _check_sizes(model, "quantize.crop", ((recipe.quantize.crop, recipe.quantize.crop),))
    except RecipeError as error:
        raise RecipeError(f"{recipe.path}: {error}") from error
    return LoadedModel(model, source, isinstance(returned, nn.Module), notices)


def to_model(returned: object, settings: ModelSettings, took_checkpoint: bool, name: str) -> tuple[Model, tuple[str, ...]]:
    """What a factory returned as a model with its weights, and what was decided about the checkpoint. Raises as ``load_model``."""
    if isinstance(returned, nn.Module):
        module, notices = prepared(returned, settings, took_checkpoint)
        return as_model(module, name, settings.sizes, settings.input, settings.output), notices
    if not isinstance(returned, Model):
        raise RecipeError(
            f"model.factory: {settings.factory} returned {_described(returned)}; "
            "allowed: a torch.nn.Module (one image in, one image out) or an instantstyle.model.graph.Model"
        )
    if (settings.input, settings.output) != (InputSettings(), OutputSettings()):
        raise RecipeError(
            f"model.input, model.output: they are for factories that return an nn.Module; {settings.factory} returned a Model, "
            "whose TensorSpecs say the range, mean, std, order and channels"
        )
    _check_model(returned, settings.factory)
    returned = replace(returned, graphs=tuple(replace(graph, module=usable(graph.module)) for graph in returned.graphs))
    notices = _load(all_modules(returned), settings, took_checkpoint)
    for graph in returned.graphs:
        fold_parametrizations(graph.module)
    return returned, notices


def prepared(returned: nn.Module, settings: ModelSettings, took_checkpoint: bool) -> tuple[nn.Module, tuple[str, ...]]:
    """A factory's module with its weights, ready to run, and what was decided about the checkpoint."""
    module = usable(returned)
    notices = _load(module, settings, took_checkpoint)
    fold_parametrizations(module)
    return module, notices


def _described(returned: object) -> str:
    """What a factory returned instead of a module, and what to do if people often return it."""
    if isinstance(returned, type):
        return f"the class {returned.__name__} instead of a module: return {returned.__name__}(...)"
    if isinstance(returned, Mapping) and returned and all(isinstance(value, torch.Tensor) for value in returned.values()):
        return "weights without a module: return the module, and name the weights' file in model.checkpoint"
    elements = returned if isinstance(returned, list | tuple) else ()
    modules = [type(element).__name__ for element in elements if isinstance(element, nn.Module)]
    if modules:
        kind, names = type(returned).__name__, ", ".join(modules)
        return f"a {kind} with the modules {names}: return the one that makes the picture, or a Model of several graphs"
    return "None; is there a return?" if returned is None else type(returned).__name__


def _load(module: nn.Module, settings: ModelSettings, took_checkpoint: bool) -> tuple[str, ...]:
    """Loads the checkpoint unless the factory took it; what was decided about it."""
    key = settings.checkpoint_key
    if took_checkpoint or settings.checkpoint is None:
        if key is not None:
            why = "the factory loads the checkpoint itself" if took_checkpoint else "there is no model.checkpoint"
            raise RecipeError(f"model.checkpoint_key: found '{key}', but {why}; leave it out")
        return ()
    return load_weights(module, settings.checkpoint, key)


def all_modules(model: Model) -> nn.ModuleDict:
    """The modules of a model's graphs as one module, whose tensors are named ``<graph>.<name>``."""
    return nn.ModuleDict({graph.name: graph.module for graph in model.graphs})


def _check_model(model: Model, factory: str) -> None:
    names = [graph.name for graph in model.graphs]
    images = [spec.name for spec in model.sample_inputs if spec.kind is TensorKind.IMAGE]
    problems = {
        "it has no graphs": not names,
        f"its graph names are not unique: {names}": max(Counter(names).values(), default=1) > 1,
        f"a graph's name is no identifier, or reserved: {names}": not all(map(_is_usable, names)),
        f"hot_graph is '{model.hot_graph}', but its graphs are {names}": model.hot_graph not in names,
        "its sample_inputs have no image": not images,
        f"it takes {len(images)} images {images}, but recipes have two image sets (photos, styles)": len(images) > 2,
    }
    for problem, found in problems.items():
        if found:
            raise RecipeError(f"model.factory: {factory} returned a Model that cannot be used: {problem}")


def _is_usable(name: str) -> bool:
    return name.isidentifier() and not hasattr(nn.ModuleDict, name)


def _check_sizes(model: Model, key: str, sizes: tuple[Size, ...]) -> None:
    multiple = model.size_multiple
    for size in sizes:
        if any(side % multiple for side in size):
            below, above = (tuple(max(multiple, (side + extra) // multiple * multiple) for side in size) for extra in (0, multiple - 1))
            nearest = " and ".join(dict.fromkeys(f"{height}x{width}" for height, width in (below, above)))
            raise RecipeError(
                f"{key}: found {size[0]}x{size[1]}, but height and width must be multiples of {multiple} for this model; "
                f"nearest allowed: {nearest}"
            )
