"""Finds out by running it what a user's ``nn.Module`` does to an image: scale, output channels, allowed sizes."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from ..model.errors import RecipeError
from ..model.graph import Model, Size, single_graph
from .factory import users_line

PROBE_SIDE = 64
IMAGE_CHANNELS = 3


def as_model(module: nn.Module, name: str, sizes: tuple[Size, ...]) -> Model:
    """A single-graph model around ``module``, which takes one RGB image (1, 3, H, W) in [-1, 1].

    The multiple that height and width must have is the smallest power of two that works near 64x64; a module that
    does not run there is tried at the recipe's own ``sizes``.

    Raises:
        RecipeError: it does not run, or its output is not one image of the input's size or a whole multiple of it.
    """
    small = (PROBE_SIDE, PROBE_SIDE)
    if _try(module, small) is not None:
        scale, channels = _inspect(module, small)
        multiple = _size_multiple(module, scale)
    else:
        found = [_inspect(module, size) for size in sizes]
        scale, channels = found[0]
        multiple = 1
    model = single_graph(module, scale=scale, size_multiple=multiple)
    graph = model.graphs[0]
    outputs = tuple(replace(spec, channels=channels) for spec in graph.outputs)
    return replace(model, name=name, graphs=(replace(graph, outputs=outputs),))


def _size_multiple(module: nn.Module, scale: int) -> int:
    multiple = 1
    while multiple < PROBE_SIDE:
        side = PROBE_SIDE + multiple
        output = _try(module, (side, side))
        if isinstance(output, Tensor) and output.shape[2:] == (side * scale, side * scale):
            break
        multiple *= 2
    return multiple


def _try(module: nn.Module, size: Size) -> object:
    """What the module returns at ``size``, or None if it fails, however it does; ``_inspect`` explains failures."""
    try:
        return _run(module, size)
    except Exception:
        return None


def _inspect(module: nn.Module, size: Size) -> tuple[int, int]:
    """Scale and channels of the output at ``size``."""
    try:
        output = _run(module, size)
    except Exception as error:
        raise RecipeError(f"model: it fails on an RGB image (1, 3, {size[0]}, {size[1]}): {users_line(error)}") from error
    if not isinstance(output, Tensor) or output.dim() != 4 or output.shape[0] != 1:
        found = f"a tensor {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
        raise RecipeError(
            f"model: it returns {found}; allowed: one image (1, channels, H, W). "
            "For several outputs let the factory return a Model with its graphs"
        )
    scale = output.shape[2] // size[0]
    if scale < 1 or tuple(output.shape[2:]) != (size[0] * scale, size[1] * scale):
        raise RecipeError(
            f"model: its output is {output.shape[2]}x{output.shape[3]} for an input of {size[0]}x{size[1]}; "
            "allowed: the same size or a whole multiple of it"
        )
    return scale, output.shape[1]


@torch.no_grad()
def _run(module: nn.Module, size: Size) -> object:
    """What it returns for a seeded random image."""
    generator = torch.Generator().manual_seed(0)
    return module(torch.rand(1, IMAGE_CHANNELS, *size, generator=generator) * 2 - 1)
