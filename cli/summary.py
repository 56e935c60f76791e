"""Size and work of the InstantStyle network, part by part."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ..model.checkpoint import load_checkpoint
from ..model.graph import Size
from ..model.network import STYLE_SIZE, InstantStyle

PARTS = ("style_encoder", "stylizer.content_encoder", "stylizer.decoder")


@dataclass(frozen=True)
class PartSummary:
    """One part of the network at one size, batch 1.

    Attributes:
        macs: multiply-accumulates of convolutions, linear layers and matrix products.
        activations: elements that convolutions and linear layers write.
        int8_bytes: weights of convolutions and linear layers at one byte, everything else at four.
    """

    name: str
    parameters: int
    macs: int
    activations: int
    float32_bytes: int
    int8_bytes: int


def summarise(checkpoint: Path | None = None, size: Size = (512, 512)) -> tuple[PartSummary, ...]:
    """The parts of the network, and the whole of it as the last row. Runs on the meta device: nothing is computed.

    Args:
        checkpoint: of other widths; without one, the reference network.
        size: height and width of the photo; the style is 512x512.

    Raises:
        CheckpointError: the checkpoint cannot be used.
    """
    config = load_checkpoint(checkpoint).config if checkpoint else None
    with torch.device("meta"):
        network = InstantStyle(config).eval()
        inputs = (torch.empty(1, 3, *size), torch.empty(1, 3, STYLE_SIZE, STYLE_SIZE), torch.empty(1, 1))
    activations = {name: 0 for name in PARTS}
    for name in PARTS:
        for layer in network.get_submodule(name).modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.register_forward_hook(_counter(activations, name))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(*inputs)
    flops = {key.removeprefix("InstantStyle."): sum(operators.values()) for key, operators in counter.get_flop_counts().items()}
    rows = [_row(name, network.get_submodule(name), flops[name] // 2, activations[name]) for name in PARTS]
    return (*rows, _row("total", network, sum(row.macs for row in rows), sum(row.activations for row in rows)))


def _counter(activations: dict[str, int], part: str):
    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        activations[part] += output.numel()

    return hook


def _row(name: str, module: nn.Module, macs: int, activations: int) -> PartSummary:
    parameters = sum(parameter.numel() for parameter in module.parameters())
    weights = sum(layer.weight.numel() for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear))
    return PartSummary(name, parameters, macs, activations, 4 * parameters, weights + 4 * (parameters - weights))
