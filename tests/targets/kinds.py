"""A network with the kinds of layers that runtimes treat specially, and its programs: what targets must carry besides the small one."""

from functools import cache

import numpy as np
import torch
from programs import quantized_program, smooth
from torch import Tensor, nn
from torch.nn import functional

from instantstyle.capture.program import Program
from instantstyle.model.graph import Sample, single_graph

SIZE = (32, 48)
CONVOLUTIONS = 8


class Determinant(nn.Module):
    """An operator that phones' runtimes do not have, between convolutions that they have."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.out = nn.Conv2d(3, 3, 3, 1, 1), nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, H, W)."""
        y = self.into(x)
        return self.out(y + torch.linalg.det(y[:, :, :8, :8])[..., None, None])


class Kinds(nn.Module):
    """Depthwise, grouped, dilated, transposed, even and reflecting convolutions, instance norm, concatenation, nearest upsampling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 1, 1, padding_mode="reflect")
        self.norm = nn.InstanceNorm2d(16, affine=True)
        self.depthwise = nn.Conv2d(16, 16, 3, 2, 1, groups=16)
        self.grouped = nn.Conv2d(16, 16, 3, 1, 1, groups=4)
        self.dilated = nn.Conv2d(16, 16, 3, 1, 2, dilation=2)
        self.transposed = nn.ConvTranspose2d(16, 16, 3, 2, 1, output_padding=1)
        self.join = nn.Conv2d(32, 16, 1)
        self.even = nn.Conv2d(16, 16, 4, 2, 1)
        self.out = nn.Conv2d(16, 3, 3, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, H, W)."""
        full = functional.relu(self.norm(self.stem(image)))
        half = functional.leaky_relu(self.depthwise(full), 0.2)
        half = functional.relu6(self.dilated(functional.relu(self.grouped(half))))
        joined = functional.relu(self.join(torch.cat([full, functional.relu(self.transposed(half))], 1)))
        coarse = functional.interpolate(self.even(joined), scale_factor=2.0, mode="nearest")
        return torch.sigmoid(self.out(coarse + joined)) * 2 - 1


@cache
def kinds_program() -> Program:
    """Captured once a session."""
    torch.manual_seed(0)
    generator = np.random.default_rng(1)
    calibration = [Sample(f"sample {index}", {"image": smooth(generator, *SIZE)}) for index in range(4)]
    return quantized_program(single_graph(Kinds().eval()), SIZE, calibration)


def kinds_input() -> np.ndarray:
    """An image that calibration did not see."""
    return smooth(np.random.default_rng(2), *SIZE)
