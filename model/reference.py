"""InstantStyle as the toolchain's ``Model``: two graphs and the scenario that composes them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from .checkpoint import load_checkpoint
from .graph import Arrays, Graph, Model, Run, TensorKind, TensorSpec
from .network import SIZE_MULTIPLE, STYLE_SIZE, InstantStyle

STYLE_ENCODER, STYLIZER = "style_encoder", "stylizer"


def make(checkpoint: Path | None = None) -> Model:
    """The factory that recipes name as ``instantstyle.model.reference:make``.

    Args:
        checkpoint: from ``save_checkpoint``; the widths are the file's. Without one, the reference network with
            seeded random weights, for trying out the toolchain.

    Raises:
        CheckpointError: the checkpoint cannot be used.
    """
    if checkpoint is not None:
        return to_model(load_checkpoint(checkpoint))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return to_model(InstantStyle().eval())


def to_model(network: InstantStyle) -> Model:
    """``style_encoder`` (style 512x512 -> code) runs once a style, ``stylizer`` (photo, code, alpha -> image) once a photo."""
    photo = TensorSpec("photo")
    style = TensorSpec("style", fixed_size=(STYLE_SIZE, STYLE_SIZE))
    # A code has no hard bounds; the range is its order of magnitude.
    code = TensorSpec("code", TensorKind.VECTOR, channels=network.config.style_dim)
    alpha = TensorSpec("alpha", TensorKind.SCALAR, channels=1, minimum=0.0, maximum=1.0)
    graphs = (
        Graph(STYLE_ENCODER, network.style_encoder, (style,), (code,)),
        Graph(STYLIZER, network.stylizer, (photo, code, alpha), (TensorSpec("image"),)),
    )
    return Model("instantstyle", graphs, scenario, (photo, style, alpha), STYLIZER, SIZE_MULTIPLE)


def scenario(runs: Mapping[str, Run], sample: Arrays) -> np.ndarray:
    """``photo`` (1, 3, H, W), ``style`` (1, 3, 512, 512), ``alpha`` (1, 1) -> the stylised image (1, 3, H, W) in [-1, 1]."""
    code = runs[STYLE_ENCODER]({"style": sample["style"]})["code"]
    return runs[STYLIZER]({"photo": sample["photo"], "code": code, "alpha": sample["alpha"]})["image"]
