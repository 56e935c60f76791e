"""DSE, the dynamic style encoder: a convolutional stem and multi-scale attention over pooled token grids.

All projections are 1x1 convolutions on token grids rather than ``nn.Linear`` on token lists: the same arithmetic, and
int8 kernels, channel pruning and phone accelerators take them without a reshape. There is no normalisation of
token magnitude, which would erase the statistics that carry the style.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

CODE_GRID = 8
CODE_CHANNELS = 64


class HeadCounts(NamedTuple):
    """Attention heads of every layer, per token grid: ``grid8=(16, 16)`` is two layers of 16 heads."""

    grid8: tuple[int, ...]
    grid16: tuple[int, ...]
    grid32: tuple[int, ...]


class GridAttention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017, arXiv:1706.03762) over the cells of a feature grid.

    Head ``h`` owns channels ``h * head_dim`` to ``(h + 1) * head_dim`` of query, key, value and of ``out``'s input, so
    that it can be cut out alone.

    Args:
        channels: C of the grid.
        heads: number of heads.
        head_dim: channels of a head.
    """

    def __init__(self, channels: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.query = nn.Conv2d(channels, heads * head_dim, 1)
        self.key = nn.Conv2d(channels, heads * head_dim, 1)
        self.value = nn.Conv2d(channels, heads * head_dim, 1)
        self.out = nn.Conv2d(heads * head_dim, channels, 1)
        nn.init.normal_(self.out.weight, std=0.2 * (heads * head_dim) ** -0.5)

    @property
    def heads(self) -> int:
        """Number of heads: fewer after pruning."""
        return self.query.out_channels // self.head_dim

    @property
    def reader(self) -> str:
        """Name of the layer that reads the heads' outputs."""
        return "out"

    def keep_heads(self, indices: Sequence[int]) -> None:
        """Removes the other heads' weights for good."""
        channels = torch.cat([torch.arange(index * self.head_dim, (index + 1) * self.head_dim) for index in indices])
        for part in (self.query, self.key, self.value):
            assert part.bias is not None
            part.weight, part.bias = nn.Parameter(part.weight.detach()[channels]), nn.Parameter(part.bias.detach()[channels])
            part.out_channels = len(channels)
        self.out.weight = nn.Parameter(self.out.weight.detach()[:, channels])
        self.out.in_channels = len(channels)

    def forward(self, grid: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W), the input included (residual)."""
        batch, _, height, width = grid.shape
        query, key, value = (
            part(grid).reshape(batch, self.heads, self.head_dim, height * width) for part in (self.query, self.key, self.value)
        )
        # (N, heads, queries, keys)
        weights = ((query * self.head_dim**-0.5).transpose(2, 3) @ key).softmax(dim=-1)
        mixed = (value @ weights.transpose(2, 3)).reshape(batch, self.heads * self.head_dim, height, width)
        return grid + self.out(mixed)


class StyleEncoder(nn.Module):
    """Style image to style code.

    Args:
        stem: channels of the four stride-2 convolutions of the stem; the last is the token width.
        heads: attention heads per layer and grid.
        head_dim: channels of a head.
        style_dim: length of the code.
    """

    def __init__(self, stem: tuple[int, int, int, int], heads: HeadCounts, head_dim: int, style_dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for in_channels, out_channels in pairwise((3, *stem)):
            convolution = nn.Conv2d(in_channels, out_channels, 3, 2, 1)
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            layers += [convolution, nn.ReLU()]
        self.stem = nn.Sequential(*layers)
        self.attention32, self.attention16, self.attention8 = (
            nn.Sequential(*(GridAttention(stem[-1], count, head_dim) for count in counts))
            for counts in (heads.grid32, heads.grid16, heads.grid8)
        )
        self.reduce = nn.Conv2d(stem[-1], CODE_CHANNELS, 1)
        self.to_code = nn.Linear(CODE_CHANNELS * CODE_GRID * CODE_GRID, style_dim)

    def forward(self, style: Tensor) -> Tensor:
        """(N, 3, 512, 512) in [-1, 1] -> (N, style_dim)."""
        grid32 = self.stem(style)
        grid16 = functional.avg_pool2d(grid32, 2)
        grid8 = functional.avg_pool2d(grid16, 2)
        attended = (
            functional.avg_pool2d(self.attention32(grid32), 4) + functional.avg_pool2d(self.attention16(grid16), 2) + self.attention8(grid8)
        )
        return self.to_code(self.reduce(functional.relu(attended)).flatten(1))
