"""Whole image-to-image networks as saved packages, in the reference evaluator and in PyTorch."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from instantstyle.capture.program import GraphProgram, Program
from instantstyle.compression.quantization.capture import capture
from instantstyle.compression.quantization.ranges import calibrate
from instantstyle.model.decoder import DecoderWidths
from instantstyle.model.graph import Sample, single_graph
from instantstyle.model.network import STYLE_SIZE, InstantStyle, NetworkConfig
from instantstyle.model.reference import to_model
from instantstyle.model.style_encoder import HeadCounts
from instantstyle.recipe.precision import Precision
from instantstyle.recipe.recipe import QuantizeSettings
from instantstyle.targets.coreml.census import take_census
from instantstyle.targets.coreml.interface import Interface
from instantstyle.targets.coreml.mil.evaluator import Arithmetic, Evaluator
from instantstyle.targets.coreml.mil.package import Package, open_package
from instantstyle.targets.coreml.options import CoreMLOptions
from instantstyle.targets.coreml.target import CoreMLTarget

SIZE = (32, 48)


class ConvNorm(nn.Module):
    """A convolution and its batch norm, which every converter makes one."""

    def __init__(self, convolution: nn.Conv2d | nn.ConvTranspose2d) -> None:
        super().__init__()
        self.convolution, self.norm = convolution, nn.BatchNorm2d(convolution.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.convolution(x))


class StyleTransfer(nn.Module):
    """Feed-forward style transfer (Johnson et al. 2016, arXiv:1603.08155), with nearest upsampling."""

    class Residual(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.first, self.first_norm = nn.Conv2d(channels, channels, 3), nn.InstanceNorm2d(channels, affine=True)
            self.second, self.second_norm = nn.Conv2d(channels, channels, 3), nn.InstanceNorm2d(channels, affine=True)

        def forward(self, x: Tensor) -> Tensor:
            y = functional.relu(self.first_norm(self.first(functional.pad(x, (1, 1, 1, 1), mode="reflect"))))
            return x + self.second_norm(self.second(functional.pad(y, (1, 1, 1, 1), mode="reflect")))

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for given, made, kernel, stride in ((3, 8, 9, 1), (8, 16, 3, 2), (16, 24, 3, 2)):
            layers += [nn.ReflectionPad2d(kernel // 2), nn.Conv2d(given, made, kernel, stride)]
            layers += [nn.InstanceNorm2d(made, affine=True), nn.ReLU()]
        layers += [self.Residual(24), self.Residual(24)]
        for given, made in ((24, 16), (16, 8)):
            layers += [nn.Upsample(scale_factor=2), nn.ReflectionPad2d(1), nn.Conv2d(given, made, 3)]
            layers += [nn.InstanceNorm2d(made, affine=True), nn.ReLU()]
        self.layers, self.exit = nn.Sequential(*layers, nn.ReflectionPad2d(4)), nn.Conv2d(8, 3, 9)

    def forward(self, image: Tensor) -> Tensor:
        return torch.tanh(self.exit(self.layers(image)))


class UNet(nn.Module):
    """Ronneberger et al. 2015 (arXiv:1505.04597) with the decoder of pix2pix (arXiv:1611.07004)."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = ConvNorm(nn.Conv2d(3, 12, 3, padding=1, bias=False))
        self.at_half = ConvNorm(nn.Conv2d(12, 16, 3, padding=1, bias=False))
        self.at_quarter = ConvNorm(nn.Conv2d(16, 24, 4, 2, 1, bias=False))
        self.at_eighth = ConvNorm(nn.Conv2d(24, 24, 3, padding=1))
        self.to_quarter = ConvNorm(nn.ConvTranspose2d(24, 24, 4, 2, 1, bias=False))
        self.to_half = ConvNorm(nn.ConvTranspose2d(48, 16, 3, 2, 1, output_padding=1, bias=False))
        self.to_full = nn.ConvTranspose2d(32, 12, 2, 2)
        self.exit = nn.Conv2d(24, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        full = functional.leaky_relu(self.enter(image), 0.25)
        half = functional.leaky_relu(self.at_half(functional.max_pool2d(full, 2)), 0.25)
        quarter = functional.leaky_relu(self.at_quarter(half), 0.25)
        eighth = functional.leaky_relu(self.at_eighth(functional.max_pool2d(quarter, 3, 2, 1)), 0.25)
        x = torch.cat([functional.relu(self.to_quarter(eighth)), quarter], 1)
        x = torch.cat([functional.relu(self.to_half(x)), half], 1)
        x = torch.cat([self.to_full(x), full], 1)
        return torch.tanh(self.exit(functional.relu(x)))


class SuperResolution(nn.Module):
    """Residual blocks without normalisation (EDSR, arXiv:1707.02921), PReLU, and a pixel shuffle at the end (ESPCN, arXiv:1609.05158)."""

    class Residual(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.first, self.activation = nn.Conv2d(channels, channels, 3, padding=1), nn.PReLU(channels)
            self.second = nn.Conv2d(channels, channels, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return x + 0.125 * self.second(self.activation(self.first(x)))

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, 16, 5, padding=2)
        self.body = nn.Sequential(*(self.Residual(16) for _ in range(2)), nn.Conv2d(16, 16, 3, padding=1))
        self.widen, self.shared_slope = nn.Conv2d(16, 64, 3, padding=1), nn.PReLU()
        self.exit = nn.Conv2d(16, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.enter(image)
        x = functional.pixel_shuffle(self.widen(x + self.body(x)), 2)
        return self.exit(self.shared_slope(x)) + 0.75 * functional.interpolate(image, scale_factor=2.0, mode="nearest")


class WindowAttention(nn.Module):
    """Attention within windows of the image, with a bias that depends on the relative position (Swin, arXiv:2103.14030).

    Args:
        shift: by how much the windows are moved; the image is rolled, and a mask keeps its opposite edges apart.
    """

    bias_index: Tensor
    region_mask: Tensor

    def __init__(self, channels: int, heads: int, window: int, shift: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.heads, self.window, self.shift = heads, window, shift
        self.norm, self.to_qkv, self.out = nn.LayerNorm(channels), nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        self.bias_table = nn.Parameter(torch.randn((2 * window - 1) ** 2, heads))
        places = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")).flatten(1)
        row, column = places[:, :, None] - places[:, None, :] + window - 1
        self.register_buffer("bias_index", row * (2 * window - 1) + column)
        regions = torch.zeros(1, 1, *size)
        for part, rows in enumerate((slice(0, -window), slice(-window, -shift), slice(-shift, None))):
            for other, columns in enumerate((slice(0, -window), slice(-window, -shift), slice(-shift, None))):
                regions[:, :, rows, columns] = 3 * part + other
        labels = self.windows(regions)
        self.register_buffer("region_mask", torch.where(labels == labels.transpose(1, 2), 0.0, -100.0).unsqueeze(1))

    def windows(self, x: Tensor) -> Tensor:
        """(1, C, H, W) -> (windows, positions, C)."""
        _, channels, height, width = x.shape
        parts = x.reshape(1, channels, height // self.window, self.window, width // self.window, self.window)
        return parts.permute(0, 2, 4, 3, 5, 1).reshape(-1, self.window**2, channels)

    def forward(self, x: Tensor) -> Tensor:
        _, channels, height, width = x.shape
        rolled = torch.roll(x, (-self.shift, -self.shift), (2, 3)) if self.shift else x
        tokens = self.to_qkv(self.norm(self.windows(rolled)))
        query, key, value = tokens.reshape(-1, self.window**2, 3, self.heads, channels // self.heads).permute(2, 0, 3, 1, 4)
        mask = self.bias_table[self.bias_index.flatten()].reshape(self.window**2, self.window**2, self.heads).permute(2, 0, 1).unsqueeze(0)
        if self.shift:
            mask = mask + self.region_mask
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        mixed = self.out(mixed.transpose(1, 2).reshape(-1, self.window**2, channels))
        parts = mixed.reshape(1, height // self.window, width // self.window, self.window, self.window, channels)
        y = parts.permute(0, 5, 1, 3, 2, 4).reshape(1, channels, height, width)
        return x + (torch.roll(y, (self.shift, self.shift), (2, 3)) if self.shift else y)


class GlobalAttention(nn.Module):
    """Attention of all positions to those of a grid of a quarter of the size.

    Args:
        far: whether a position does not see the cell that it lies in.
    """

    seen: Tensor | None

    def __init__(self, channels: int, heads: int, size: tuple[int, int], far: bool) -> None:
        super().__init__()
        cells = torch.arange(size[0] * size[1] // 16).reshape(1, 1, size[0] // 4, size[1] // 4)
        own = functional.interpolate(cells.float(), size).reshape(-1, 1)
        self.register_buffer("seen", own != cells.flatten() if far else None)
        self.heads, self.query, self.key_value = heads, nn.Linear(channels, channels), nn.Linear(channels, 2 * channels)

    def forward(self, x: Tensor) -> Tensor:
        _, channels, height, width = x.shape
        tokens, coarse = (each.flatten(2).transpose(1, 2) for each in (x, functional.avg_pool2d(x, 4)))
        query, key, value = (
            each.unflatten(2, (self.heads, -1)).transpose(1, 2) for each in (self.query(tokens), *self.key_value(coarse).chunk(2, dim=2))
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=self.seen)
        return x + mixed.transpose(1, 2).flatten(2).transpose(1, 2).reshape(1, channels, height, width)


class ChannelAttention(nn.Module):
    """Attention between channels, and a gated depthwise feed-forward part (Restormer, arXiv:2111.09881)."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads, self.temperature = heads, nn.Parameter(torch.full((heads, 1, 1), 4.0))
        self.scale, self.shift = nn.Parameter(torch.ones(channels, 1, 1)), nn.Parameter(torch.zeros(channels, 1, 1))
        self.to_qkv, self.local = nn.Conv2d(channels, 3 * channels, 1), nn.Conv2d(3 * channels, 3 * channels, 3, 1, 1, groups=3 * channels)
        self.out = nn.Conv2d(channels, channels, 1)
        self.gates, self.feed = nn.Conv2d(channels, 4 * channels, 1), nn.Conv2d(2 * channels, channels, 1)

    def normalized(self, x: Tensor) -> Tensor:
        """Layer norm over the channels of an image, written out."""
        mean = x.mean(1, keepdim=True)
        variance = (x - mean).square().mean(1, keepdim=True)
        return (x - mean) / torch.sqrt(variance + 1e-5) * self.scale + self.shift

    def forward(self, x: Tensor) -> Tensor:
        _, channels, height, width = x.shape
        parts = self.local(self.to_qkv(self.normalized(x))).reshape(1, 3, self.heads, channels // self.heads, height * width)
        query, key, value = parts.unbind(1)
        scores = functional.normalize(query, dim=-1) @ functional.normalize(key, dim=-1).transpose(-2, -1)
        mixed = (scores * self.temperature).softmax(-1) @ value
        x = x + self.out(mixed.reshape(1, channels, height, width))
        gate, content = self.gates(self.normalized(x)).chunk(2, dim=1)
        return x + self.feed(functional.gelu(gate, approximate="tanh") * content)


class Restoration(nn.Module):
    """Windows as in SwinIR (arXiv:2108.10257), plain and shifted, then global and channel attention, at half the resolution."""

    def __init__(self) -> None:
        super().__init__()
        size, channels = (SIZE[0] // 2, SIZE[1] // 2), 24
        self.enter = nn.Conv2d(12, channels, 3, padding=1)
        self.windows = nn.ModuleList(WindowAttention(channels, 6, 8, shift, size) for shift in (0, 4))
        self.mlp = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, 96), nn.GELU(), nn.Linear(96, channels))
        self.overall = nn.Sequential(*(GlobalAttention(channels, 6, size, far) for far in (False, True)))
        self.between = ChannelAttention(channels, 4)
        self.exit = nn.Conv2d(channels, 12, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.enter(functional.pixel_unshuffle(image, 2))
        for attention in self.windows:
            x = attention(x)
            x = x + self.mlp(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        x = self.between(self.overall(x))
        return torch.add(0.5 * image, functional.pixel_shuffle(self.exit(x), 2), alpha=0.5)


class Gated(nn.Module):
    """Simple gate and simplified channel attention (NAFNet, arXiv:2204.04676), with group norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm, self.widen = nn.GroupNorm(4, channels), nn.Conv2d(channels, 2 * channels, 1)
        self.depthwise = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels)
        self.attention, self.out = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)
        self.share = nn.Parameter(torch.full((1, channels, 1, 1), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.depthwise(self.widen(self.norm(x))).chunk(2, dim=1)
        y = left * right
        return x + self.share * self.out(y * self.attention(functional.adaptive_avg_pool2d(y, 1)))


class Inverted(nn.Module):
    """Inverted residual with squeeze-and-excitation (MobileNetV3, arXiv:1905.02244)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.widen = ConvNorm(nn.Conv2d(channels, 2 * channels, 1, bias=False))
        self.depthwise = ConvNorm(nn.Conv2d(2 * channels, 2 * channels, 5, padding=2, groups=2 * channels, bias=False))
        self.squeeze, self.excite = nn.Conv2d(2 * channels, 8, 1), nn.Conv2d(8, 2 * channels, 1)
        self.narrow = ConvNorm(nn.Conv2d(2 * channels, channels, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        y = functional.hardswish(self.depthwise(functional.hardswish(self.widen(x))))
        weight = functional.hardsigmoid(self.excite(functional.relu(self.squeeze(functional.adaptive_avg_pool2d(y, 1)))))
        return x + self.narrow(y * weight)


class Mobile(nn.Module):
    """Blocks of NAFNet and MobileNetV3, grouped and dilated convolutions, and a coarse branch that is resized back."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = ConvNorm(nn.Conv2d(3, 24, 3, 2, 1, bias=False))
        self.gated, self.inverted = Gated(24), Inverted(24)
        self.grouped = ConvNorm(nn.Conv2d(24, 48, 3, padding=1, groups=4, bias=False))
        self.dilated = nn.Conv2d(48, 24, 3, padding=2, dilation=2)
        self.coarse = nn.Conv2d(24, 24, 1)
        self.exit = nn.Conv2d(24, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        x = functional.relu6(self.enter(image))
        x = self.inverted(self.gated(x))
        x = self.dilated(functional.silu(self.grouped(x)))
        coarse = functional.silu(self.coarse(functional.adaptive_avg_pool2d(x, (4, 6))))
        x = x + functional.interpolate(coarse, x.shape[2:], mode="bilinear", align_corners=True)
        return torch.tanh(self.exit(functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)))


@dataclass(frozen=True)
class Net:
    """A network and what is asked of its packages.

    Attributes:
        module: its class.
        scale: of its output.
        exact_db: of the float16 package without rounding of results, to PyTorch with the package's own weights.
        float16_db: of the float16 package, to PyTorch.
        weights_db: of the package with int8 weights, to PyTorch.
        int8_weights: how many of the weights of that package are int8, being large enough.
        int8_exact_db: of the int8 package without rounding of results, to the int8 program with the package's own scales.
        int8_db: of the int8 package, to PyTorch.
        convolutions: how many it has.
        keep_float: modules that stay in float in the int8 program.
    """

    module: Callable[[], nn.Module]
    exact_db: float
    float16_db: float
    weights_db: float
    int8_weights: int
    int8_exact_db: float
    int8_db: float
    convolutions: int
    keep_float: tuple[str, ...] = ()
    scale: int = 1


NETS = {
    "style": Net(StyleTransfer, 110, 47, 30, 6, 40, 19, 10),
    "unet": Net(UNet, 110, 58, 55, 4, 40, 34, 8),
    "super": Net(SuperResolution, 110, 58, 39, 6, 40, 25.5, 8, scale=2),
    "restore": Net(Restoration, 110, 54, 32, 8, 38, 26, 7, keep_float=("windows",)),
    "mobile": Net(Mobile, 75, 55, 36, 2, 40, 16, 14),
}
CONFIGS = {
    "smallest": NetworkConfig(2, (1, 1, 1, 1), HeadCounts((), (), ()), 1, 1, (1, 1), DecoderWidths(1, 1, 1)),
    "small": NetworkConfig(8, (8, 8, 12, 16), HeadCounts((2, 2), (2,), (1,)), 4, 8, (4, 8), DecoderWidths(16, 12, 8)),
}
Packages = Callable[[str, Precision], Package]
# The largest of them and of the reference networks take a minute together.
each_net = pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name == "restore")) for name in NETS])


def settled(module: nn.Module, seed: int) -> nn.Module:
    """With weights as training might leave them: nothing fades, explodes or is the identity."""
    torch.manual_seed(seed)
    for part in module.modules():
        if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.kaiming_normal_(part.weight, nonlinearity="linear")
        elif isinstance(part, (nn.BatchNorm2d, nn.InstanceNorm2d, nn.GroupNorm, nn.LayerNorm)):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, std=0.2)
        elif isinstance(part, nn.PReLU):
            # From iOS17 on a package may keep slopes in float32; these are the same in float16.
            part.weight.data = torch.empty_like(part.weight).uniform_(0.05, 0.4).half().float()
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean = 0.1 * torch.randn(part.num_features)
            part.running_var = torch.rand(part.num_features) + 0.5
    return module.eval()


def pictures(count: int, seed: int, size: tuple[int, int] = SIZE) -> Tensor:
    """(count, 3, H, W) in [-1, 1], with large and small structures."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, size[0] // 8, size[1] // 8, generator=generator) * 2 - 1
    return (functional.interpolate(coarse, size, mode="bicubic") + 0.1 * torch.randn(count, 3, *size, generator=generator)).clamp(-1, 1)


def photo_levels(size: tuple[int, int] = SIZE) -> Tensor:
    """An unseen picture as a package takes it: 0 to 255. float16 holds every value."""
    return ((pictures(1, 9, size) + 1) * 127.5).half().float()


def as_image(levels: Tensor) -> Tensor:
    """0 to 255 -> [-1, 1], with the float32 arithmetic of a package."""
    return levels * (2 / 255) - 1


@cache
def module_of(name: str) -> nn.Module:
    """Its last convolution fills the range of an image."""
    torch.manual_seed(len(name))
    module = settled(NETS[name].module(), seed=5)
    exits: list[Tensor] = []
    hook = module.get_submodule("exit").register_forward_hook(lambda _, __, result: exits.append(result))  # pyright: ignore[reportArgumentType]
    with torch.no_grad():
        module(pictures(1, seed=7))
        hook.remove()
        module.get_parameter("exit.weight").mul_(0.5 / exits[0].std())
    return module


@cache
def program_of(name: str) -> Program:
    """Captured in float and in post-training int8."""
    model = single_graph(module_of(name), "net", NETS[name].scale)
    settings = QuantizeSettings(method="ptq", observer="min_max", keep_float=NETS[name].keep_float)
    samples = [Sample(str(index), {"image": picture[None].numpy()}) for index, picture in enumerate(pictures(4, seed=0))]
    table = calibrate(
        model, samples, total=len(samples), size=SIZE, tuned={}, settings=settings, image_set_sha256="0" * 64, report=lambda *_: None
    )
    return capture(model, SIZE, table=table, tuned={}, settings=settings)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    """The package of a network in a precision, as the target wrote it."""

    @cache
    def package(name: str, precision: Precision) -> Package:
        folder = tmp_path_factory.mktemp(f"{name}-{precision}")
        artifact = CoreMLTarget().emit(program_of(name), precision, folder)
        return open_package(folder / artifact.graph("net").file)

    return package


def with_half_weights(module: nn.Module) -> nn.Module:
    """As a package stores it: batch norms are part of the convolutions before them, then everything is rounded to float16."""
    module = copy.deepcopy(module)
    for parent in list(module.modules()):
        children = list(parent.named_children())
        for (name, part), (norm_name, norm) in pairwise(children):
            if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d)) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(part, norm, transpose=isinstance(part, nn.ConvTranspose2d)))
                setattr(parent, norm_name, nn.Identity())
    for values in (*module.parameters(), *module.buffers()):
        if values.is_floating_point():
            values.data = values.half().float()
    return module


def shown(output: Tensor) -> np.ndarray:
    """An image as a package puts it out, before it becomes 8 bits: 0 to 255."""
    return ((output.clamp(-1, 1) + 1) * 127.5).numpy()


def snr_db(found: np.ndarray, reference: np.ndarray) -> float:
    """Power of the reference's deviation from its mean over the mean squared error, in decibels."""
    assert found.shape == reference.shape
    error = np.mean((found.astype(np.float64) - reference) ** 2)
    return float(10 * np.log10(reference.var() / error)) if error else float("inf")


def evaluate(package: Package, arithmetic: Arithmetic) -> np.ndarray:
    return Evaluator(package, arithmetic).run({"image": photo_levels().numpy()})["output"]


def run_pytorch(module: nn.Module) -> np.ndarray:
    """What ``evaluate`` should find."""
    with torch.no_grad():
        return shown(module(as_image(photo_levels())))


def with_half_scales(graph: GraphProgram) -> GraphModule:
    """The int8 program as a package stores it: biases and scales are rounded to float16, and sums count in units of their second term's
    scale, as coremltools rewrites them (``distributive_quantized_binary_op_scale_normalization``).
    """
    assert graph.int8_program is not None
    module = copy.deepcopy(Interface(graph.int8_program, graph.inputs, graph.outputs).program)
    for node in list(module.graph.nodes):
        if node.target is torch.ops.aten.add.Tensor and all(is_dequantize(part) for part in node.args):
            last = next(iter(node.users)) if [user.target for user in node.users] == [torch.ops.aten.relu.default] else node
            after = list(last.users)
            if len(after) == 1 and is_quantize(after[0]):
                unit = node.args[1].args[1]
                node.args = tuple(rescaled_copy(part, part.args[1] / unit) for part in node.args)
                after[0].args = (after[0].args[0], after[0].args[1] / unit, *after[0].args[2:])
    for node in module.graph.nodes:
        if (is_quantize(node) or is_dequantize(node)) and isinstance(node.args[1], float):
            node.args = (node.args[0], float(np.float16(node.args[1])), *node.args[2:])
    module.recompile()
    for values in (*module.parameters(), *module.buffers()):
        if values.is_floating_point():
            values.data = values.half().float()
    return module


def rescaled_copy(node: Node, scale: float) -> Node:
    """The same dequantisation with another scale; the node itself stays for its other readers."""
    with node.graph.inserting_after(node):
        copied = node.graph.node_copy(node)
    copied.args = (node.args[0], scale, *node.args[2:])
    return copied


def is_quantize(node: object) -> bool:
    return str(getattr(node, "target", "")) == "quantized_decomposed.quantize_per_tensor.default"


def is_dequantize(node: object) -> bool:
    return str(getattr(node, "target", "")) == "quantized_decomposed.dequantize_per_tensor.default"


@each_net
def test_network_makes_a_picture(name: str) -> None:
    output = run_pytorch(module_of(name))
    height, width = SIZE
    assert output.shape == (1, 3, height * NETS[name].scale, width * NETS[name].scale)
    assert output.std() > 25
    assert np.mean((output == 0) | (output == 255)) < 0.25


@each_net
def test_float16_package_without_rounding_is_the_network_with_weights_of_float16(packages: Packages, name: str) -> None:
    found = evaluate(packages(name, Precision.FLOAT16), Arithmetic.FLOAT32)
    assert snr_db(found, run_pytorch(with_half_weights(module_of(name)))) > NETS[name].exact_db


@each_net
def test_float16_package(packages: Packages, name: str) -> None:
    package = packages(name, Precision.FLOAT16)
    assert take_census(package.specification).convolutions == NETS[name].convolutions
    assert snr_db(evaluate(package, Arithmetic.PROGRAM), run_pytorch(module_of(name))) > NETS[name].float16_db


@each_net
def test_package_with_int8_weights(packages: Packages, name: str) -> None:
    package = packages(name, Precision.INT8_WEIGHTS)
    compressed = [each for each in package.program.functions["main"].operations if each.op_type == "constexpr_affine_dequantize"]
    assert len(compressed) == NETS[name].int8_weights
    assert snr_db(evaluate(package, Arithmetic.PROGRAM), run_pytorch(module_of(name))) > NETS[name].weights_db


@each_net
def test_int8_package_without_rounding_is_the_int8_program(packages: Packages, name: str) -> None:
    found = evaluate(packages(name, Precision.INT8), Arithmetic.FLOAT32)
    (graph,) = program_of(name).graphs
    assert snr_db(found, run_pytorch(with_half_scales(graph))) > NETS[name].int8_exact_db


@each_net
def test_int8_package(packages: Packages, name: str) -> None:
    package = packages(name, Precision.INT8)
    census = take_census(package.specification)
    (graph,) = program_of(name).graphs
    assert census.convolutions == census.int8_convolutions == graph.int8_convolutions == NETS[name].convolutions
    assert snr_db(evaluate(package, Arithmetic.PROGRAM), run_pytorch(module_of(name))) > NETS[name].int8_db


def test_attention_of_ios18_is_the_network(tmp_path: Path) -> None:
    """There, attention is one operator."""
    target = CoreMLTarget(CoreMLOptions(minimum_deployment_target="iOS18"))
    target.emit(program_of("restore"), Precision.FLOAT16, tmp_path)
    package = open_package(tmp_path / "net.mlpackage")
    operators = [each.op_type for each in package.program.functions["main"].operations]
    assert operators.count("scaled_dot_product_attention") == 4
    exact = run_pytorch(with_half_weights(module_of("restore")))
    assert snr_db(evaluate(package, Arithmetic.FLOAT32), exact) > NETS["restore"].exact_db
    assert snr_db(evaluate(package, Arithmetic.PROGRAM), run_pytorch(module_of("restore"))) > NETS["restore"].float16_db


@pytest.mark.parametrize("size", [pytest.param(size, marks=[pytest.mark.slow] * (size == "small")) for size in CONFIGS])
def test_reference_network(size: str, tmp_path: Path) -> None:
    config = CONFIGS[size]
    network = settled(InstantStyle(config), seed=2)
    CoreMLTarget().emit(capture(to_model(network), SIZE, table=None, tuned={}, settings=QuantizeSettings()), Precision.FLOAT16, tmp_path)  # pyright: ignore[reportArgumentType]
    photo, style = photo_levels(), photo_levels((STYLE_SIZE, STYLE_SIZE))
    code, alpha = torch.randn(1, config.style_dim).half().float(), torch.tensor([[0.75]])
    cases: tuple[tuple[str, dict[str, Tensor], tuple[Tensor, ...], str], ...] = (
        ("style_encoder", {"style": style}, (as_image(style),), "code"),
        ("stylizer", {"photo": photo, "code": code, "alpha": alpha[0]}, (as_image(photo), code, alpha), "image"),
    )
    for name, given, inputs, output in cases:
        package = open_package(tmp_path / f"{name}.mlpackage")
        module = network.get_submodule(name)
        for arithmetic, reference, least in ((Arithmetic.FLOAT32, with_half_weights(module), 85), (Arithmetic.PROGRAM, module, 30)):
            found = Evaluator(package, arithmetic).run({key: value.numpy() for key, value in given.items()})[output]
            with torch.no_grad():
                wanted = reference(*inputs)
            assert snr_db(found, shown(wanted) if output == "image" else wanted.numpy()) > least
