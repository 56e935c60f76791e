"""A filter as it is often published: BGR in 0 to 255 less a mean, several results, weights in half precision."""

import torch
from torch import Tensor, nn


class PhotoFilter(nn.Module):
    def __init__(self, mean: tuple[float, ...] = (104.0, 117.0, 124.0)) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        # Blue becomes brighter, red darker: a swap of channels anywhere would be seen.
        self.register_buffer("tint", torch.tensor([40.0, 0.0, -40.0]).view(1, -1, 1, 1))
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 3, padding=1))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) of BGR less its mean -> features, and the picture in BGR of 0 to 255, which it may leave."""
        features = self.body(image / 64) * 16
        mean: Tensor = self.mean  # type: ignore[assignment]
        return features, image + mean + features + self.tint


def make() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        return PhotoFilter().half()
