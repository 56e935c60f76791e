"""Core ML's prediction, replaced at its boundary by the reference evaluator."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from instantstyle.targets.coreml import predict_runner
from instantstyle.validation.mil.evaluator import Evaluator
from instantstyle.validation.mil.package import open_package


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
    """Takes and gives what ``MLModel.predict`` does: PIL images, and arrays of any float type."""

    def __init__(self, path: Path, unit: str) -> None:
        self.unit, self.evaluator = unit, Evaluator(open_package(path))
        self.seen: dict[str, Any] = {}

    def predict(self, data: Mapping[str, Any]) -> dict[str, Any]:
        self.seen = dict(data)
        arrays = {name: _planes(value) if isinstance(value, Image.Image) else value for name, value in data.items()}
        outputs = self.evaluator.run(arrays)
        return {name: _picture(value) if value.ndim == 4 else value.astype(np.float16) for name, value in outputs.items()}


def _planes(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture, np.float32).transpose(2, 0, 1)[None]


def _picture(values: np.ndarray) -> Image.Image:
    levels = np.rint(values[0]).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)
    return Image.fromarray(levels).convert("RGBA")  # a pixel buffer has four channels
