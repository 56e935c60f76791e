"""The InstantStyle network and its configuration."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .content_encoder import EXPANSION, ContentEncoder, Padding
from .decoder import Decoder, DecoderDepths, DecoderWidths
from .style_encoder import HeadCounts, StyleEncoder

SIZE_MULTIPLE = 8
STYLE_SIZE = 512


class NetworkConfig(NamedTuple):
    """Every width and depth of the network.

    A default is what a checkpoint means that does not name the field: it never changes. ``CONFIGS`` has the networks by name.

    Attributes:
        content_depths: blocks of the content encoder's two layers; (3, 4) in ResNet-50.
        decoder_depths: styled blocks and more, see ``DecoderDepths``.
        padding_mode: of the stylizer's convolutions: "zeros" or "replicate".
    """

    style_dim: int = 256
    style_stem: tuple[int, int, int, int] = (32, 64, 128, 256)
    style_heads: HeadCounts = HeadCounts(grid8=(16, 16, 16, 16), grid16=(20, 20), grid32=(8,))
    head_dim: int = 64
    content_stem: int = 64
    content_widths: tuple[int, int] = (64, 128)
    decoder_widths: DecoderWidths = DecoderWidths(eighth=256, quarter=128, half=48)
    content_depths: tuple[int, int] = (3, 4)
    decoder_depths: DecoderDepths = DecoderDepths()
    padding_mode: Padding = "zeros"


# Both have 12 M parameters and at most 20 GMACs at 512x512. The second has fewer blocks that see no style and more that do, and paints
# on the photo rather than from nothing.
CONFIGS = {
    "reference": NetworkConfig(),
    "painting": NetworkConfig(
        decoder_widths=DecoderWidths(eighth=160, quarter=80, half=48),
        content_depths=(2, 2),
        decoder_depths=DecoderDepths(eighth=2, quarter=3, mapping=1024, gated=True, epsilon=0.01),
        padding_mode="replicate",
    ),
}


class Stylizer(nn.Module):
    """Photo, style code and alpha to a stylised image: content encoder and decoder."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        quarter, eighth = (width * EXPANSION for width in config.content_widths)
        self.content_encoder = ContentEncoder(config.content_stem, config.content_widths, config.content_depths, config.padding_mode)
        content = (config.content_stem, quarter, eighth)
        self.decoder = Decoder(content, config.decoder_widths, config.style_dim, config.decoder_depths, config.padding_mode)

    def forward(self, photo: Tensor, code: Tensor, alpha: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] with H and W multiples of 8, (N, style_dim), (N, 1) in [0, 1] -> (N, 3, H, W) in [-1, 1]."""
        return self.decoder(self.content_encoder(photo), code, alpha)


class InstantStyle(nn.Module):
    """Arbitrary style transfer in two graphs: ``style_encoder`` runs once a style, ``stylizer`` once a photo."""

    def __init__(self, config: NetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config or CONFIGS["reference"]
        self.style_encoder = StyleEncoder(self.config.style_stem, self.config.style_heads, self.config.head_dim, self.config.style_dim)
        self.stylizer = Stylizer(self.config)

    def forward(self, photo: Tensor, style: Tensor, alpha: Tensor) -> Tensor:
        """(N, 3, H, W), (N, 3, 512, 512), (N, 1) -> (N, 3, H, W); images in [-1, 1]."""
        return self.stylizer(photo, self.style_encoder(style), alpha)


def mix(codes: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Weighted mean of style codes, so that one style can turn into another.

    Args:
        codes: tensors (N, style_dim).
        weights: one number of at least 0 for each; they need not add up to 1.

    Raises:
        ValueError: lengths differ, a weight is negative or none is positive.
    """
    if len(codes) != len(weights) or not codes:
        raise ValueError(f"mix needs one weight for each code, got {len(codes)} codes and {len(weights)} weights")
    if min(weights) < 0 or sum(weights) <= 0:
        raise ValueError(f"weights must be at least 0 with a positive sum, got {list(weights)}")
    shares = torch.tensor(weights, dtype=codes[0].dtype) / sum(weights)
    return (torch.stack(list(codes)) * shares[:, None, None]).sum(dim=0)
