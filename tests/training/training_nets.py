"""Networks small enough to train in a test."""

import torch

from instantstyle.model.decoder import DecoderWidths
from instantstyle.model.network import InstantStyle, NetworkConfig
from instantstyle.model.style_encoder import HeadCounts


def tiny_network(seed: int = 0) -> InstantStyle:
    torch.manual_seed(seed)
    heads = HeadCounts(grid8=(1,), grid16=(1,), grid32=(1,))
    return InstantStyle(
        NetworkConfig(
            style_dim=16,
            style_stem=(4, 4, 8, 8),
            style_heads=heads,
            head_dim=4,
            content_stem=8,
            content_widths=(4, 8),
            decoder_widths=DecoderWidths(eighth=16, quarter=8, half=8),
        )
    )
