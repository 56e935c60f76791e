"""Which modules an int8 artifact loses quality and time by, as data."""

from dataclasses import dataclass

from pydantic import TypeAdapter, with_config

from .codec import STRICT

FILE = "blame.json"
INPUTS = "inputs"  # in the place of a module


@dataclass(frozen=True)
class Blame:
    """One module of an int8 graph.

    Attributes:
        module_path: of the module; INPUTS for the graph's inputs, ``(operator)`` for what the graph computes outside of any module.
        ssim_gained: mean SSIM that the picture gains if this module's weight and result alone stay in float, in PyTorch; None where
            that was not tried.
        int8_ms: of one run of the artifact; None where its runtime does not tell. Includes what follows the module up to the next layer.
        float_ms: the same of the float graph in ONNX Runtime.
        more_bytes: what its weights take in half precision beyond int8.
    """

    module_path: str
    ssim_gained: float | None = None
    int8_ms: float | None = None
    float_ms: float | None = None
    more_bytes: int = 0


@dataclass(frozen=True)
class Losses:
    """``ssim`` of the whole int8 graph, mean and worst of the samples, and each module's part in it, the largest first."""

    ssim_mean: float
    ssim_worst: float
    modules: tuple[Blame, ...]


@with_config(STRICT)
@dataclass(frozen=True)
class GraphBlame:
    """One graph of an int8 artifact.

    Attributes:
        artifact: its name in the bundle.
        samples: how many validation samples the losses are of; 0 where it missed limits of speed alone, and only times are known.
        ssim_mean: of the int8 graph over these samples; null without any.
        ssim_worst: likewise.
        modules: their losses by fake quantisation in PyTorch, the one that loses most first, with the times of the artifact.
        advice: the changes that would help most, and their price.
    """

    artifact: str
    graph: str
    samples: int
    ssim_mean: float | None
    ssim_worst: float | None
    modules: tuple[Blame, ...]
    advice: tuple[str, ...]


LOSSES = TypeAdapter(Losses)
BLAMES = TypeAdapter(tuple[GraphBlame, ...])
