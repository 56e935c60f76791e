"""Core ML's prediction, replaced at its boundary by the reference evaluator."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from instantstyle.targets.coreml import predict_runner
from instantstyle.targets.coreml.mil.evaluator import Evaluator
from instantstyle.targets.coreml.mil.package import open_package


def pretend_to_be_a_mac(monkeypatch: pytest.MonkeyPatch) -> "list[Prediction]":
    """The models that are loaded from now on."""
    models: list[Prediction] = []

    def load(path: Path, unit: str) -> Prediction:
        models.append(Prediction(path, unit))
        return models[-1]

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(predict_runner, "load_model", load)
    return models


class Prediction:
    """Takes and gives what ``MLModel.predict`` does: PIL images whatever the program's order of channels, arrays of any float type."""

    def __init__(self, path: Path, unit: str) -> None:
        package = open_package(path)
        self.unit, self.evaluator = unit, Evaluator(package)
        self.seen: dict[str, Any] = {}
        described = package.specification.description
        spaces = {each.name: each.type.imageType for each in (*described.input, *described.output)}
        self.blue_first = {name for name, image in spaces.items() if image.colorSpace == image.BGR}

    def predict(self, data: Mapping[str, Any]) -> dict[str, Any]:
        self.seen = dict(data)
        arrays = {name: self._planes(name, value) if isinstance(value, Image.Image) else value for name, value in data.items()}
        outputs = self.evaluator.run(arrays)
        return {name: self._picture(name, value) if value.ndim == 4 else value.astype(np.float16) for name, value in outputs.items()}

    def _planes(self, name: str, picture: Image.Image) -> np.ndarray:
        planes = np.atleast_3d(np.asarray(picture, np.float32)).transpose(2, 0, 1)[None]
        return np.ascontiguousarray(planes[:, ::-1]) if name in self.blue_first else planes

    def _picture(self, name: str, values: np.ndarray) -> Image.Image:
        levels = np.rint(values[0, ::-1] if name in self.blue_first else values[0]).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)
        return Image.fromarray(levels[..., 0]) if levels.shape[2] == 1 else Image.fromarray(levels).convert("RGBA")  # as a pixel buffer
