from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from stylize_files import CHECKPOINT, PHOTOS

from instantstyle.compression.quantization.capture import capture
from instantstyle.model.reference import make
from instantstyle.recipe.precision import Precision
from instantstyle.recipe.settings import QuantizeSettings
from instantstyle.targets.artifact import write_manifest
from instantstyle.targets.onnx.target import OnnxTarget

ARTIFACT_SIZE = (128, 192)


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float32 ONNX artifact of the shipped checkpoint, small and not square."""
    folder = tmp_path_factory.mktemp("artifact")
    program = capture(make(CHECKPOINT), ARTIFACT_SIZE, table=None, tuned={}, settings=QuantizeSettings())
    write_manifest(OnnxTarget().emit(program, Precision.FLOAT32, folder), folder)
    return folder


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """(1, 3, 203, 310) in [-1, 1]: sides that are no multiples of anything."""
    image = Image.open(PHOTOS / "gc_mon_neuschwansteinCastle.jpg").convert("RGB").resize((310, 203), Image.Resampling.LANCZOS)
    return np.asarray(image, np.float32).transpose(2, 0, 1)[None] / np.float32(127.5) - np.float32(1)
