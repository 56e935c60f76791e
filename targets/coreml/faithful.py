"""A package computes what its program computes: compared in float32, so that nothing but the conversion can make a difference."""

from pathlib import Path

import numpy as np
import torch
from torch.export import ExportedProgram

from ...capture.program import GraphProgram
from ...metrics.difference import snr_db
from ...model.graph import Size, TensorKind, TensorSpec
from ...model.pixels import LEVELS, from_levels
from ...recipe.precision import Precision
from ...system.silence import silence
from ..base import Finding
from .divergence import compare_operations
from .interface import as_captured, to_package
from .mil.errors import UnknownOperatorError
from .mil.evaluator import Arithmetic, Evaluator
from .mil.package import open_package
from .refusal import Refused

# Weights are rounded to float16 or int8. Far below what that costs, and far above what a wrong statistic or corner gives.
LEAST_SNR_DB = {Precision.FLOAT16: 30.0, Precision.INT8: 12.0, Precision.INT8_WEIGHTS: 12.0}


def check_faithful(path: Path, graph: GraphProgram, captured: ExportedProgram, precision: Precision, size: Size) -> None:
    """Runs the package and ``captured``, its program with its interface, on one image that is half smooth and half noise.

    A package with an operator that the evaluator does not know is not compared here; it fails when it is measured.

    Raises:
        Refused: the converter made something else of the program; names the module of the first operation that differs.
    """
    with silence():
        try:
            evaluator = Evaluator(open_package(path), Arithmetic.FLOAT32)
        except UnknownOperatorError:
            return
    deviation = first_deviation(evaluator, captured, graph, size, LEAST_SNR_DB[precision])
    if deviation is None:
        return
    with silence():
        rows = compare_operations(evaluator, captured, graph, _examples(graph, size))
    wrong = next((row for row in rows if not row.snr_db > LEAST_SNR_DB[precision]), None)
    if wrong is None:
        where, what = f"graph '{graph.name}'", "the package does not compute what its program computes"
    else:
        where = f"{graph.name}.{wrong.module_path}" if wrong.module_path else graph.name
        what = f"the converter makes something else of '{wrong.operator}' (operation '{wrong.operation}')"
    raise Refused(Finding(where, f"{what}: {deviation}", "write that line of the model with other operators"))


def first_deviation(evaluator: Evaluator, captured: ExportedProgram, graph: GraphProgram, size: Size, least_snr_db: float) -> str | None:
    """Which output of a package is not PyTorch's at a size, and by how much; None if all are."""
    inputs = {spec.name: to_package(spec, array) for spec, array in zip(graph.inputs, _examples(graph, size).values(), strict=True)}
    with silence(), torch.no_grad():
        results = captured.module(check_guards=False)(*(torch.from_numpy(as_captured(spec, inputs[spec.name])) for spec in graph.inputs))
    found = evaluator.run(inputs)
    for spec, result in zip(graph.outputs, results if isinstance(results, (tuple, list)) else (results,), strict=True):
        wanted, output = result.numpy(), found[spec.name]
        snr = snr_db(wanted, output) if output.shape == wanted.shape else -np.inf
        if np.isfinite(wanted).all() and not snr > least_snr_db:
            return f"at {size[0]}x{size[1]} the output '{spec.name}' is {snr:.0f} dB from PyTorch's"
    return None


def _examples(graph: GraphProgram, size: Size) -> dict[str, np.ndarray]:
    return {spec.name: _example(spec, size) for spec in graph.inputs}


def _example(spec: TensorSpec, size: Size) -> np.ndarray:
    """Waves over the whole range of an image, with noise on its right half; random numbers for anything else."""
    generator, shape = np.random.default_rng(0), spec.shape(size)
    if spec.kind is not TensorKind.IMAGE:
        return generator.uniform(spec.minimum, spec.maximum, shape).astype(np.float32)
    rows, columns = np.mgrid[: shape[2], : shape[3]]
    phases = np.arange(shape[1])[:, None, None]
    unit = np.broadcast_to(0.5 + 0.25 * (np.sin(rows / 7 + phases) + np.cos(columns / 11 - phases)), shape).copy()
    half = shape[3] // 2
    unit[..., half:] = 0.7 * unit[..., half:] + 0.3 * generator.random((*shape[:3], shape[3] - half))
    return from_levels(spec, unit * LEVELS)
