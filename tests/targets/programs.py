"""A small style network with every construct that a target must carry, and its float and int8 programs."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from instantstyle.capture.program import Program, Provenance
from instantstyle.compression.quantization.capture import capture
from instantstyle.compression.quantization.ranges import calibrate
from instantstyle.model.adain import AdaIN
from instantstyle.model.graph import Arrays, Graph, Model, Run, Sample, TensorKind, TensorSpec
from instantstyle.recipe.recipe import QuantizeSettings

SIZE = (32, 48)
CODE = 6
PHOTO, ALPHA = TensorSpec("photo"), TensorSpec("alpha", TensorKind.SCALAR, 1, 0.0, 1.0)
STYLE = TensorSpec("style", fixed_size=(32, 32))
CODE_SPEC = TensorSpec("code", TensorKind.VECTOR, CODE, -4.0, 4.0)
STYLISED = TensorSpec("stylised")


class SmallStylizer(nn.Module):
    """conv-BN-ReLU, max pooling, residual, AdaIN, bilinear upsampling with a skip, pixel shuffle, tanh."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.stem_norm = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        self.inner, self.inner_norm = nn.Conv2d(16, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        self.bottleneck = nn.Conv2d(16, 24, 1)
        self.adain = AdaIN(24, CODE)
        self.fuse = nn.Conv2d(24, 16, 3, 1, 1)
        self.skip = nn.Conv2d(16, 16, 1)
        self.to_rgb = nn.Conv2d(16, 12, 3, 1, 1)
        for norm in (self.stem_norm, self.inner_norm):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, std=0.2)
            norm.running_mean = 0.1 * torch.randn(16)
            norm.running_var = torch.rand(16) + 0.5

    def forward(self, photo: Tensor, code: Tensor, alpha: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, H, W)."""
        half = functional.max_pool2d(functional.relu(self.stem_norm(self.stem(photo))), 3, 2, 1)
        x = functional.relu(half + self.inner_norm(self.inner(half)))
        quarter = functional.max_pool2d(x, 2)
        y = functional.relu(self.adain(self.bottleneck(quarter), code, alpha))
        y = functional.interpolate(self.fuse(y), scale_factor=2.0, mode="bilinear", align_corners=False)
        y = functional.relu(y + self.skip(half))
        return torch.tanh(functional.pixel_shuffle(self.to_rgb(y), 2))


class SmallStyleEncoder(nn.Module):
    """conv-ReLU, average pooling, linear."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 2, 1)
        self.linear = nn.Linear(8 * 4 * 4, CODE)

    def forward(self, style: Tensor) -> Tensor:
        """(N, 3, 32, 32) -> (N, CODE)."""
        return self.linear(functional.avg_pool2d(functional.relu(self.conv(style)), 4).flatten(1))


def small_model() -> Model:
    torch.manual_seed(3)
    encoder = Graph("style_encoder", SmallStyleEncoder().eval(), (STYLE,), (CODE_SPEC,))
    stylizer = Graph("stylizer", SmallStylizer().eval(), (PHOTO, CODE_SPEC, ALPHA), (STYLISED,))

    def scenario(runs: Mapping[str, Run], sample: Arrays) -> np.ndarray:
        code = runs["style_encoder"]({"style": sample["style"]})["code"]
        return runs["stylizer"]({"photo": sample["photo"], "code": code, "alpha": sample["alpha"]})["stylised"]

    return Model("small", (encoder, stylizer), scenario, (PHOTO, STYLE, ALPHA), "stylizer", 4)


def smooth(generator: np.random.Generator, height: int, width: int) -> np.ndarray:
    """An image (1, 3, height, width) in [-1, 1] with large and small structures."""
    coarse = torch.from_numpy(generator.uniform(-1, 1, (1, 3, height // 8, width // 8)))
    image = functional.interpolate(coarse, (height, width), mode="bicubic") + 0.1 * torch.from_numpy(
        generator.standard_normal((height, width))
    )
    return image.clamp(-1, 1).float().numpy()


def samples(count: int, seed: int) -> list[Sample]:
    generator = np.random.default_rng(seed)
    return [
        Sample(
            f"sample {index}",
            {"photo": smooth(generator, *SIZE), "style": smooth(generator, 32, 32), "alpha": np.array([[1.0 - 0.3 * index]], np.float32)},
        )
        for index in range(count)
    ]


def quantized_program(model: Model, size: tuple[int, int], calibration: list[Sample]) -> Program:
    """Post-training int8 of any model."""
    settings = QuantizeSettings(method="ptq", observer="min_max")
    table = calibrate(
        model,
        calibration,
        total=len(calibration),
        size=size,
        tuned={},
        settings=settings,
        image_set_sha256="0" * 64,
        report=lambda *_: None,
    )
    return capture(model, size, table=table, tuned={}, settings=settings)


def small_program() -> Program:
    program = quantized_program(small_model(), SIZE, samples(4, seed=0))
    return replace(program, provenance=Provenance("Ada", "CC0-1.0", "2.1", "phone", "ab" * 32))
