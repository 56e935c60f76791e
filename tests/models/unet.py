"""A user's net: a small U-Net (Ronneberger et al. 2015) with batch norm and concatenated skips; sizes are multiples of 4."""

import torch
from torch import Tensor, nn
from torch.nn import functional


def block(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU())


class UNet(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.down1 = block(3, width)
        self.down2 = block(width, 2 * width)
        self.bottom = block(2 * width, 4 * width)
        self.up2 = block(6 * width, 2 * width)
        self.up1 = block(3 * width, width)
        self.out = nn.Conv2d(width, 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        full = self.down1(image)
        half = self.down2(functional.max_pool2d(full, 2))
        quarter = self.bottom(functional.max_pool2d(half, 2))
        half = self.up2(torch.cat([functional.interpolate(quarter, scale_factor=2.0), half], dim=1))
        full = self.up1(torch.cat([functional.interpolate(half, scale_factor=2.0), full], dim=1))
        return torch.tanh(self.out(full) + image)


def make() -> nn.Module:
    """The net with seeded weights and batch-norm statistics other than 0 and 1."""
    torch.manual_seed(2)
    net = UNet()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return net
