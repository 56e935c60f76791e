"""Content encoder: the first half of ResNet-50 (He et al., CVPR 2016, arXiv:1512.03385).

Modules carry torchvision's names (``conv1``, ``bn1``, ``layer1.0.conv1`` …), so that a torchvision
``resnet50`` state dict loads with ``strict=False``; only its ``layer3``, ``layer4`` and ``fc`` are left over.
"""

from typing import Literal, NamedTuple

from torch import Tensor, nn

EXPANSION = 4
Padding = Literal["zeros", "reflect", "replicate"]


class ContentFeatures(NamedTuple):
    """Features of a photo (N, 3, H, W), from fine to coarse."""

    half: Tensor  # (N, stem, H/2, W/2)
    quarter: Tensor  # (N, 4 * widths[0], H/4, W/4)
    eighth: Tensor  # (N, 4 * widths[1], H/8, W/8)
    photo: Tensor  # itself


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 with a residual connection; the stride is on the 3x3 as in torchvision."""

    def __init__(self, in_channels: int, width: int, stride: int, padding_mode: Padding) -> None:
        super().__init__()
        out_channels = width * EXPANSION
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False, padding_mode=padding_mode)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU()
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))

    def forward(self, features: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, 4 * width, H / stride, W / stride)."""
        identity = features if self.downsample is None else self.downsample(features)
        out = self.relu(self.bn1(self.conv1(features)))
        out = self.relu(self.bn2(self.conv2(out)))
        return self.relu(self.bn3(self.conv3(out)) + identity)


def _layer(in_channels: int, width: int, blocks: int, stride: int, padding_mode: Padding) -> nn.Sequential:
    first = Bottleneck(in_channels, width, stride, padding_mode)
    rest = [Bottleneck(width * EXPANSION, width, 1, padding_mode) for _ in range(blocks - 1)]
    return nn.Sequential(first, *rest)


class ContentEncoder(nn.Module):
    """ResNet-50's stem, layer1 and layer2.

    Args:
        stem: channels of the 7x7 stem; 64 in ResNet-50.
        widths: bottleneck widths of layer1 and layer2; (64, 128) in ResNet-50.
        depths: their blocks; (3, 4) in ResNet-50.
        padding_mode: of every convolution, as in ``nn.Conv2d``; "zeros" in ResNet-50.
    """

    def __init__(self, stem: int, widths: tuple[int, int], depths: tuple[int, int] = (3, 4), padding_mode: Padding = "zeros") -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, stem, 7, 2, 3, bias=False, padding_mode=padding_mode)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = _layer(stem, widths[0], depths[0], 1, padding_mode)
        self.layer2 = _layer(widths[0] * EXPANSION, widths[1], depths[1], 2, padding_mode)

    def forward(self, photo: Tensor) -> ContentFeatures:
        """(N, 3, H, W) in [-1, 1], H and W multiples of 8 -> features at 1/2, 1/4 and 1/8."""
        half = self.relu(self.bn1(self.conv1(photo)))
        quarter = self.layer1(self.maxpool(half))
        return ContentFeatures(half, quarter, self.layer2(quarter), photo)
