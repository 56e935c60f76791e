"""Structured pruning of a model. Only ``off`` exists so far: the stage is in its place in the pipeline."""

from ..model.graph import Model
from .settings import PruneSettings


def prune(model: Model, settings: PruneSettings) -> Model:
    """``model`` with fewer heads and channels; with ``method = "off"`` the very same object, unchanged."""
    match settings.method:
        case "off":
            return model
