"""Programs of one operator, and their evaluation."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
from coremltools.converters.mil.mil import Builder

from instantstyle.targets.coreml.mil.evaluator import Arithmetic, Evaluator
from instantstyle.targets.coreml.mil.package import Package, open_package

mb: Any = Builder  # it gets its operators at run time, which no type checker follows
Arrays = Mapping[str, np.ndarray]
OPSETS = {"iOS15": ct.target.iOS15, "iOS16": ct.target.iOS16, "iOS17": ct.target.iOS17, "iOS18": ct.target.iOS18}


def program(opset: str, inputs: Arrays, build: Callable[..., Any]) -> Any:
    """A MIL program. ``build`` gets the inputs as variables, by the names of its parameters, and uses ``mb``."""
    specs = [mb.TensorSpec(inputs[name].shape, _mil_type(inputs[name])) for name in inspect.signature(build).parameters]
    return mb.program(input_specs=specs, opset_version=OPSETS[opset])(build)


def _mil_type(array: np.ndarray) -> Any:
    from coremltools.converters.mil.mil import types

    return {"f4": types.fp32, "f2": types.fp16, "i4": types.int32, "b1": types.bool}[array.dtype.str[1:]]


def evaluate(opset: str, inputs: Arrays, build: Callable[..., Any], arithmetic: Arithmetic = Arithmetic.PROGRAM) -> list[np.ndarray]:
    """Outputs of a program in order, evaluated as it was built."""
    made = program(opset, inputs, build)
    evaluator = Evaluator(Package(Path("test.mlpackage"), None, made, opset), arithmetic)
    return list(evaluator.run(inputs).values())


def evaluate_saved(opset: str, inputs: Arrays, build: Callable[..., Any], folder: Path) -> list[np.ndarray]:
    """The same of a program that was written to a package and read back."""
    model: Any = ct.convert(
        program(opset, inputs, build), convert_to="mlprogram", minimum_deployment_target=OPSETS[opset], skip_model_load=True,
        compute_precision=ct.precision.FLOAT32, pass_pipeline=ct.PassPipeline.EMPTY,  # pyright: ignore[reportArgumentType]
    )  # fmt: skip
    path = folder / "test.mlpackage"
    model.save(str(path))
    return list(Evaluator(open_package(path)).run(inputs).values())


def random(*shape: int, seed: int = 0, low: float = -2.0, high: float = 2.0) -> np.ndarray:
    """Uniform float32."""
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def assert_close(found: np.ndarray, reference: np.ndarray, tolerance: float = 2e-5) -> None:
    """Equal shape, and values within ``tolerance`` of the reference's largest one."""
    assert found.shape == np.shape(reference)
    scale = max(1.0, float(np.abs(reference).max(initial=0)))
    np.testing.assert_allclose(found, np.asarray(reference, np.float64), rtol=0, atol=tolerance * scale)


def only(outputs: Sequence[np.ndarray]) -> np.ndarray:
    """The one output."""
    (output,) = outputs
    return output
