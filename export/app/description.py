"""``model.json``: all that an app has to know of an artifact, in the order in which its graphs run."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ...model.graph import Model, Size, TensorKind, TensorSpec
from ...recipe.limits import Limits
from ...targets.base import Artifact
from .styles import SUFFIX, style_encoder

FILE, FORMAT = "model.json", 1


def description(model: Model, artifact: Artifact, limits: Limits, styles: Sequence[str]) -> str:
    """The file's content. Shapes are (N, C, H, W); ranges are of the pixels, before mean and standard deviation.

    Args:
        styles: names of the ready codes.
    """
    encoder = style_encoder(model)
    content: dict[str, Any] = {
        "format": FORMAT,
        "model": model.name,
        "artifact": artifact.name,
        "precision": str(artifact.precision),
        "graphs": [
            {
                "name": graph.name,
                "file": graph.file,
                "inputs": [_tensor(spec, artifact.size) for spec in graph.inputs],
                "outputs": [_tensor(spec, artifact.size) for spec in graph.outputs],
            }
            for graph in artifact.graphs
        ],
        "codes": [{"name": spec.name, "length": spec.channels} for spec in encoder.codes] if encoder and styles else [],
        "styles": [{"name": name, "file": f"styles/{name}{SUFFIX}"} for name in styles],
        "golden_limits": {name: getattr(limits, name) for name in ("min_ssim_worst", "min_ssim_hard")},
    }
    return json.dumps(content, indent=1) + "\n"


def _tensor(spec: TensorSpec, size: Size) -> Mapping[str, Any]:
    row: dict[str, Any] = {"name": spec.name, "kind": str(spec.kind), "shape": list(spec.shape(size))}
    row |= {"minimum": spec.minimum, "maximum": spec.maximum}
    if spec.kind is TensorKind.IMAGE:
        row |= {"mean": list(spec.mean), "std": list(spec.std), "order": spec.order}
    return row
