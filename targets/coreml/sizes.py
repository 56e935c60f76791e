"""A package that takes several sizes, compared with the program it was converted from at those that nobody measures otherwise."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.export import ExportedProgram

from ...export.program import GraphProgram
from ...model.errors import CaptureError
from ...model.graph import Size, TensorKind, TensorSpec
from ...model.pixels import LEVELS, from_levels
from ...validation.metrics import snr_db
from ...validation.mil.evaluator import Evaluator
from ...validation.mil.package import open_package
from ..silence import silence
from .interface import as_captured, to_package

# Far below what rounding costs a package, int8 included, and far above what a wrong shape or corner gives.
LEAST_SNR_DB = 12.0


def check_sizes(path: Path, graph: GraphProgram, captured: ExportedProgram, sizes: Sequence[Size]) -> None:
    """Runs the package and ``captured``, its program with its interface, at each size on a smooth image.

    Raises:
        CaptureError: they differ at one of them.
    """
    with silence():
        evaluator = Evaluator(open_package(path))
        module = captured.module(check_guards=False)
    for size in sizes:
        given = {spec.name: to_package(spec, _smooth(spec, size)) for spec in graph.inputs}
        with torch.no_grad():
            results = module(*(torch.from_numpy(as_captured(spec, given[spec.name])) for spec in graph.inputs))
        results = results if isinstance(results, (tuple, list)) else (results,)
        found = evaluator.run(given)
        for spec, wanted in zip(graph.outputs, results, strict=True):
            same_shape = found[spec.name].shape == tuple(wanted.shape)
            if not same_shape or not snr_db(wanted.numpy(), found[spec.name]) > LEAST_SNR_DB:
                raise CaptureError(
                    f"graph '{graph.name}': at {size[0]}x{size[1]} the output '{spec.name}' of its package is not PyTorch's; "
                    "take that size out of more_sizes in [targets.options.coreml], or build a package for each of model.sizes"
                )


def _smooth(spec: TensorSpec, size: Size) -> np.ndarray:
    """Waves over the whole range of an image; random numbers for anything else."""
    shape = spec.shape(size)
    if spec.kind is not TensorKind.IMAGE:
        return np.random.default_rng(0).uniform(spec.minimum, spec.maximum, shape).astype(np.float32)
    rows, columns = np.mgrid[: shape[2], : shape[3]]
    phases = np.arange(shape[1])[:, None, None]
    unit = 0.5 + 0.25 * (np.sin(rows / 7 + phases) + np.cos(columns / 11 - phases))
    return from_levels(spec, unit[None] * LEVELS)
