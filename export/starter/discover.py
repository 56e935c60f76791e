"""Finds out by running it what a recipe has to say of a user's model, with the probe that ``release`` uses."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from torch import Tensor, nn

from ...calibration.imageset import ImageSet
from ...calibration.samples import make_samples
from ...model.graph import Model, Sample, Size, TensorKind, TensorSpec, scenario_output
from ...model.pixels import describe
from ...model.select import elements
from ...recipe.settings import InputSettings, ModelSettings, OutputSettings
from ...system.errors import RecipeError
from ..source.factory import call_factory, import_factory
from ..source.loading import prepared, to_model
from ..source.output_range import alternatives, recipe_lines
from ..source.photo_probe import judge, observe
from ..source.probe import PROBE_SIDE, as_model, attempt

# What is tried, the usual first. A model that runs at PROBE_SIDE takes the first size.
SIDES = (512, 256, 224, 384, 128)
CHANNELS = (3, 1, 4)
PHOTOS = 4


@dataclass(frozen=True)
class Found:
    """What a recipe says of a model.

    Attributes:
        input, output: lines of ``[model.input]`` and ``[model.output]``; none where the defaults hold.
        size: that it runs at.
        multiple: of height and width.
        scale: of the output's size to the input's.
        images: image inputs of the model.
        bare: whether these lines are of a plain ``nn.Module``; a ``Model`` says all of it itself.
        notices: what the user should look at.
    """

    input: tuple[str, ...]
    output: tuple[str, ...]
    size: Size
    multiple: int
    scale: int
    images: int
    bare: bool
    notices: tuple[str, ...]


def discover(model: ModelSettings, name: str, photos: Sequence[ImageSet]) -> Found:
    """Calls a factory and runs what it returns.

    Args:
        model: factory and checkpoint; a file is relative to the current folder.
        photos: to run it on, one set for each image input that it may have.

    Raises:
        RecipeError: it cannot be exported, with the sentence that ``release`` would say.
        CheckpointError: the checkpoint does not fit.
    """
    function, _ = import_factory(model.factory, Path.cwd())
    returned, took_checkpoint = call_factory(function, model.factory, model.checkpoint)
    if not isinstance(returned, nn.Module):
        made, notices = to_model(returned, model, took_checkpoint, name)
        side = math.ceil(SIDES[0] / made.size_multiple) * made.size_multiple
        size = (side, side)
        odd = judge(made, observe(made, _samples(made, size, photos), size, bare=False), bare=False)
        return _found(made, ((), ()), size, (*notices, *odd), bare=False)
    module, notices = prepared(returned, model, took_checkpoint)
    interface = _interface(module)
    plain = as_model(module, name, (interface.size,), interface.taken, interface.given)
    made, odd = _with_range(plain, interface.size, photos)
    lines = _lines(made.sample_inputs[0], interface.taken), _lines(scenario_output(made), interface.given)
    return _found(made, lines, interface.size, (*notices, *interface.notices, *odd), bare=True)


@dataclass(frozen=True)
class _Interface:
    """The number of channels that a module takes, which element of what it returns is the image, and a size that it runs at."""

    taken: InputSettings = field(default_factory=InputSettings)
    given: OutputSettings = field(default_factory=OutputSettings)
    size: Size = (SIDES[0], SIDES[0])
    notices: tuple[str, ...] = ()


def _interface(module: nn.Module) -> _Interface:
    """What a module runs with; the default where that is nothing, so that ``as_model`` says why."""
    for side in (PROBE_SIDE, *SIDES):
        for channels in CHANNELS:
            returned = attempt(module, TensorSpec("image", channels=channels), (side, side))
            keys = [None] if isinstance(returned, Tensor) else list(_images(returned, side))
            if keys:
                taken = InputSettings(channels=None if channels == CHANNELS[0] else channels)
                given = OutputSettings(select=keys[0])
                size = (SIDES[0], SIDES[0]) if side == PROBE_SIDE else (side, side)
                several = f"it returns several images ({', '.join(map(repr, keys))}), of which select takes the first"
                return _Interface(taken, given, size, (several,) if len(keys) > 1 else ())
    return _Interface()


def _images(returned: object, side: int) -> Iterator[int | str]:
    """Those elements of what a module returned that can be the image."""
    for key, value in elements(returned):
        shape = tuple(value.shape) if isinstance(value, Tensor) else ()
        if len(shape) == 4 and shape[0] == 1 and shape[1] in CHANNELS and shape[2] == shape[3] and shape[2] % side == 0:
            yield key


def _with_range(model: Model, size: Size, photos: Sequence[ImageSet]) -> tuple[Model, tuple[str, ...]]:
    """The model as the photos say that it is to be declared, and what remains to be looked at."""
    seen = observe(model, _samples(model, size, photos), size, bare=True)
    fitting = list(alternatives(model, seen.image))
    try:
        odd = judge(model, seen, bare=True)
        default = not odd
    except RecipeError as error:
        odd, default = (f"{error}; until then this recipe is refused",), False
    if default:
        others = dict.fromkeys(describe(image) for image, output in fitting if _same(image, output) and not _same(image, seen.image.spec))
        many = f"it makes pictures of other numbers as well ({'; '.join(others)}): [model.input] and [model.output] are to say what it was "
        return model, (f"{many}trained with",) if others else ()
    if not fitting:
        return model, odd
    image, output = fitting[0]
    (graph,) = model.graphs
    declared = replace(model, graphs=(replace(graph, inputs=(image,), outputs=(output,)),), sample_inputs=(image,))
    again = observe(declared, _samples(declared, size, photos), size, bare=True)
    tried = "its range was found by trying what makes a picture: compare it with what it was trained with"
    return declared, (tried, *judge(declared, again, bare=True))


def _same(image: TensorSpec, output: TensorSpec) -> bool:
    return describe(replace(image, channels=3)) == describe(replace(output, channels=3))


def _samples(model: Model, size: Size, photos: Sequence[ImageSet]) -> list[Sample]:
    return list(islice(make_samples(model, size, photos, "cycle"), PHOTOS))


def _lines(spec: TensorSpec, settings: InputSettings) -> tuple[str, ...]:
    """The lines of a recipe that declare an image so; none where they would say the default."""
    lines = [] if not spec.mean and (spec.minimum, spec.maximum) == InputSettings().range else list(recipe_lines(spec))
    if settings.channels is not None:
        lines.append(f"channels = {settings.channels}")
    if isinstance(settings, OutputSettings) and settings.select is not None:
        lines.append(f"select = {settings.select}" if isinstance(settings.select, int) else f'select = "{settings.select}"')
    return tuple(lines)


def _found(model: Model, lines: tuple[tuple[str, ...], tuple[str, ...]], size: Size, notices: tuple[str, ...], bare: bool) -> Found:
    images = sum(spec.kind is TensorKind.IMAGE for spec in model.sample_inputs)
    return Found(*lines, size, model.size_multiple, scenario_output(model).scale, images, bare, notices)
