"""Runs a package with Core ML itself, on a Mac."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from ...model.graph import Arrays
from ...model.pixels import reordered
from ...system.errors import ArtifactError, ExecutionError
from ..base import Artifact, Runner
from ..runner_checks import execution_by
from .census import take_census
from .features import check_features
from .interface import from_package, is_image, to_package
from .mil.package import read_specification

# In the order in which an app would choose, by the names that coremltools gives them.
UNITS = ("CPU_AND_NE", "CPU_AND_GPU", "CPU_ONLY")


class Predictor(Protocol):
    """The part of ``coremltools.models.MLModel`` that is used: images are PIL images, all else NumPy arrays."""

    def predict(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Outputs by name."""
        ...


def load_model(path: Path, unit: str) -> Predictor:
    """Compiles and loads a package for one compute unit."""
    import coremltools as ct

    return ct.models.MLModel(str(path), compute_units=ct.ComputeUnit[unit])


class PredictRunner(Runner):
    """``MLModel.predict`` on one compute unit.

    Core ML does not say what ran where: ``execution`` counts the operations of the package's program.

    Args:
        path: the package.
        artifact: that the package belongs to.
        name: of the graph.
        unit: one of UNITS.

    Raises:
        ArtifactError: the package is damaged.
        ExecutionError: it declares another interface than the manifest, Core ML cannot load it, or it has fewer int8 convolutions than
            asked for.
    """

    def __init__(self, path: Path, artifact: Artifact, name: str, unit: str) -> None:
        graph = artifact.graph(name)
        super().__init__(graph, artifact.size)
        specification = read_specification(path)
        check_features(specification, artifact, graph, path)
        self.execution = execution_by(take_census(specification), graph, path, f"Core ML, {unit}")
        try:
            self._model = load_model(path, unit)
        except Exception as error:  # Core ML's errors come as RuntimeError, NSException's text or worse
            raise ExecutionError(f"{path}: Core ML cannot load it on {unit}: {error}") from error

    def _execute(self, inputs: Arrays) -> dict[str, np.ndarray]:
        given = {}
        for spec in self._graph.inputs:
            value = to_package(spec, inputs[spec.name])
            given[spec.name] = _to_picture(reordered(spec, value)) if is_image(spec) else value
        found = self._model.predict(given)
        missing = [spec.name for spec in self._graph.outputs if spec.name not in found]
        if missing:
            raise ArtifactError(f"graph '{self._graph.name}': Core ML gave {', '.join(found)}, not {', '.join(missing)}")
        return {
            spec.name: from_package(
                spec, reordered(spec, _from_picture(found[spec.name])) if is_image(spec) else np.asarray(found[spec.name])
            )
            for spec in self._graph.outputs
        }

    def _free(self) -> None:
        del self._model


def _to_picture(levels: np.ndarray) -> Image.Image:
    """(1, C, H, W) of 0 to 255 -> RGB or grey."""
    planes = levels[0].astype(np.uint8)
    return Image.fromarray(planes[0] if len(planes) == 1 else np.ascontiguousarray(planes.transpose(1, 2, 0)))


def _from_picture(picture: Image.Image) -> np.ndarray:
    """RGB(A) or grey -> (1, C, H, W) of 0 to 255."""
    if picture.mode == "L":
        return np.asarray(picture, np.float32)[None, None]
    return np.asarray(picture.convert("RGB"), np.float32).transpose(2, 0, 1)[None]
