"""Finds out by running it what a user's ``nn.Module`` does to an image: scale, channels, allowed sizes."""

import inspect
from dataclasses import replace

import torch
from torch import Tensor, nn

from ...model.graph import Model, Size, TensorSpec, single_graph
from ...model.pixels import PICTURE_CHANNELS, encode
from ...model.select import contents, select
from ...recipe.settings import InputSettings, OutputSettings
from ...system.errors import InstantStyleError, RecipeError
from .factory import users_line

PROBE_SIDE = 64
NAMES = {1: "grey", 3: "RGB", 4: "RGBA"}


def as_model(
    module: nn.Module,
    name: str,
    sizes: tuple[Size, ...],
    taken: InputSettings = InputSettings(),  # noqa: B008 - frozen
    given: OutputSettings = OutputSettings(),  # noqa: B008 - frozen
) -> Model:
    """A single-graph model around ``module``, which takes one image as ``taken`` says and returns one as ``given`` says.

    The multiple that height and width must have is the smallest power of two that works near 64x64; a module that
    does not run there is tried at the recipe's own ``sizes``.

    Raises:
        RecipeError: it does not run, or its output is not one image of the input's size or a whole multiple of it.
    """
    select(module, given.select)
    image = _spec("image", "model.input", taken, taken.channels or 3)
    small = (PROBE_SIDE, PROBE_SIDE)
    if isinstance(attempt(module, image, small), Tensor):
        scale, channels = _inspect(module, image, small)
        multiple = _size_multiple(module, image, scale)
    else:
        found = [_inspect(module, image, size) for size in sizes]
        scale, channels = found[0]
        multiple = 1
    if given.channels not in (None, channels):
        raise RecipeError(f"model.output.channels: found {given.channels}, but the model returns an image of {channels} channels")
    output = replace(_spec("output", "model.output", given, channels), scale=scale)
    model = single_graph(module, size_multiple=multiple)
    graph = replace(model.graphs[0], inputs=(image,), outputs=(output,))
    return replace(model, name=name, graphs=(graph,), sample_inputs=(image,))


def _spec(name: str, key: str, settings: InputSettings, channels: int) -> TensorSpec:
    low, high = settings.range
    try:
        return TensorSpec(name, channels=channels, minimum=low, maximum=high, mean=settings.mean, std=settings.std, order=settings.order)
    except ValueError as error:
        raise RecipeError(f"{key}: {str(error).partition(': ')[2]}") from error


def _size_multiple(module: nn.Module, image: TensorSpec, scale: int) -> int:
    multiple = 1
    while multiple < PROBE_SIDE:
        side = PROBE_SIDE + multiple
        output = attempt(module, image, (side, side))
        if isinstance(output, Tensor) and output.shape[2:] == (side * scale, side * scale):
            break
        multiple *= 2
    return multiple


def attempt(module: nn.Module, image: TensorSpec, size: Size) -> object:
    """What the module returns at ``size``, or None if it fails, however it does; ``_inspect`` explains failures."""
    try:
        return _run(module, image, size)
    except Exception:
        return None


def _inspect(module: nn.Module, image: TensorSpec, size: Size) -> tuple[int, int]:
    """Scale and channels of the output at ``size``."""
    try:
        output = _run(module, image, size)
    except InstantStyleError:
        raise
    except Exception as error:
        kind = f"{NAMES[image.channels]} image (1, {image.channels}, {size[0]}, {size[1]})"
        raise RecipeError(
            f"model: it fails on {'an' if image.channels > 1 else 'a'} {kind}: {users_line(error)}{_way_out(module, image, size)}"
        ) from error
    if not isinstance(output, Tensor):
        raise RecipeError(
            f"model: it returns {contents(output)}; allowed: one image (1, channels, H, W). Say which element is the image with "
            "[model.output] select in the recipe; for several outputs let the factory return a Model with its graphs"
        )
    if output.dim() != 4 or output.shape[0] != 1:
        raise RecipeError(f"model: it returns a tensor {tuple(output.shape)}; allowed: one image (1, channels, H, W)")
    scale = output.shape[2] // size[0]
    if scale < 1 or tuple(output.shape[2:]) != (size[0] * scale, size[1] * scale):
        raise RecipeError(
            f"model: its output is {output.shape[2]}x{output.shape[3]} for an input of {size[0]}x{size[1]}; "
            "allowed: the same size or a whole multiple of it"
        )
    return scale, output.shape[1]


def _way_out(module: nn.Module, image: TensorSpec, size: Size) -> str:
    """What the module takes instead, if that can be told: several inputs, or another number of channels."""
    wanted = _required_inputs(module)
    if len(wanted) > 1:
        return (
            f"\n  It wants {len(wanted)} inputs ({', '.join(wanted)}): give all but the image a default, or return a Model with its graphs"
        )
    for channels in PICTURE_CHANNELS:
        plain = TensorSpec("image", channels=channels)
        if channels != image.channels and isinstance(attempt(module, plain, size), Tensor):
            return f"\n  It takes {channels} channel{'s' * (channels > 1)}: write [model.input] channels = {channels} in the recipe"
    return ""


def _required_inputs(module: nn.Module) -> list[str]:
    """Parameters of its forward that have to be given."""
    parameters = inspect.signature(module.forward).parameters.values()
    return [one.name for one in parameters if one.default is one.empty and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]


@torch.no_grad()
def _run(module: nn.Module, image: TensorSpec, size: Size) -> object:
    """What it returns for a seeded random image."""
    generator = torch.Generator().manual_seed(0)
    picture = torch.rand(1, image.channels, *size, generator=generator) * 2 - 1
    return module(torch.from_numpy(encode(image, picture.numpy())))
