"""Trains the networks of the bench on the calibration photos, a few minutes each, and keeps their weights in a folder.

What they learn is made from photos: to take away noise, blur or darkness, to enlarge, to bring out contrast, and to paint as the shipped
checkpoint does. Seeded; a network that the folder has already is not trained again, so that a bench that was stopped goes on with the next.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from network_styles import STYLE_SIZE, AnyStyle, StyleNet, as_two_graphs
from network_zoo import CurveNet, DepthwiseNet, GatedNet, MobileNet, SuperResolution, UNet
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional

from instantstyle.calibration.imageset import ImageSet
from instantstyle.export.cache.fingerprint import sources_hash
from instantstyle.model.checkpoint import load_checkpoint
from instantstyle.model.graph import Model
from instantstyle.system.disk import atomic_write

ROOT = Path(__file__).parents[1]
PHOTOS, STYLES = ROOT / "samples/calibration/photos", ROOT / "samples/calibration/styles"
# Weights are of this code: a change of it trains all anew.
SOURCES = tuple(ROOT / "benchmarks" / name for name in ("network_zoo.py", "network_styles.py", "network_training.py"))
TEACHER = ROOT / "checkpoints/instantstyle-mobile.safetensors"
BATCH, CROP, SEED = 4, 64, 0
PAINTED_SIZE, PAINTED_CROP = 256, 96
Pairs = Callable[["Photos", torch.Generator], tuple[tuple[Tensor, ...], Tensor]]


@dataclass(frozen=True)
class Photos:
    """What networks are trained on: photos (N, 3, 512, 512), styles (M, 3, 512, 512), and the teacher's pictures of all pairs."""

    cache: Path

    @cached_property
    def photos(self) -> Tensor:
        return _read(PHOTOS, 512)

    @cached_property
    def styles(self) -> Tensor:
        return _read(STYLES, 512)

    @cached_property
    def painted(self) -> Tensor:
        """(M, N, 3, 256, 256) in 8 bits, kept in the folder, for it takes minutes."""
        path = self.cache / "painted.safetensors"
        if not path.is_file():
            network, small = load_checkpoint(TEACHER), _read(PHOTOS, PAINTED_SIZE)
            with torch.inference_mode():
                codes = [network.style_encoder(style[None]) for style in self.styles]
                one = torch.ones(1, 1)
                pictures = [torch.cat([network.stylizer(photo[None], code, one) for photo in small]) for code in codes]
            levels = ((torch.stack(pictures).clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
            atomic_write(path, save({"painted": levels}))
        return load_file(path)["painted"]

    def crops(self, random: torch.Generator, size: int = CROP) -> Tensor:
        """(BATCH, 3, size, size), half of them mirrored."""
        return torch.stack([_crop(self.photos[_pick(random, len(self.photos))], random, size) for _ in range(BATCH)])


def denoise(photos: Photos, random: torch.Generator) -> tuple[tuple[Tensor, ...], Tensor]:
    """Noise."""
    crops = photos.crops(random)
    return (_noisy(crops, 0.2 * _shares(random), random),), crops


def sharpen(photos: Photos, random: torch.Generator) -> tuple[tuple[Tensor, ...], Tensor]:
    """Blur, as out of focus."""
    crops = photos.crops(random)
    return (crops.lerp(_blurred(crops, 1.5), _shares(random)),), crops


def restore(photos: Photos, random: torch.Generator) -> tuple[tuple[Tensor, ...], Tensor]:
    """Blur and noise."""
    crops = photos.crops(random)
    blurred = crops.lerp(_blurred(crops, 1.0), _shares(random))
    return (_noisy(blurred, 0.1 * _shares(random), random),), crops


def enlarge(photos: Photos, random: torch.Generator) -> tuple[tuple[Tensor, ...], Tensor]:
    """Half the size."""
    crops = photos.crops(random, 2 * CROP)
    return (functional.avg_pool2d(crops, 2),), crops


def contrast(photos: Photos, random: torch.Generator) -> tuple[tuple[Tensor, ...], Tensor]:
    """The difference to the surroundings doubled, colours a third stronger."""
    crops = photos.crops(random)
    grey = crops.mean(1, keepdim=True)
    return (crops,), torch.tanh(1.2 * (crops + crops - _blurred(crops, 4.0) + 0.3 * (crops - grey)))


def lighten(photos: Photos, random: torch.Generator) -> tuple[tuple[Tensor, ...], Tensor]:
    """Darkness."""
    crops = photos.crops(random)
    return (2 * (0.5 + 0.5 * crops) ** (1 + 2 * _shares(random)) - 1,), crops


def paint(photos: Photos, random: torch.Generator) -> tuple[tuple[Tensor, ...], Tensor]:
    """In the first style."""
    (photo, _), target = paint_any(photos, random, styles=1)
    return (photo,), target


def paint_any(photos: Photos, random: torch.Generator, styles: int | None = None) -> tuple[tuple[Tensor, ...], Tensor]:
    """As the checkpoint does, in as many of the styles; crops of pairs, with the whole style."""
    size = (PAINTED_SIZE, PAINTED_SIZE)
    drawn = [(_pick(random, len(photos.photos)), _pick(random, styles or len(photos.styles))) for _ in range(BATCH)]
    small = functional.interpolate(photos.photos[[photo for photo, _ in drawn]], size, mode="bilinear", antialias=True)
    pictures = photos.painted[[style for _, style in drawn], [photo for photo, _ in drawn]] / 127.5 - 1
    both = torch.stack([_crop(pair, random, PAINTED_CROP) for pair in torch.cat([small, pictures], 1)])
    given = functional.interpolate(photos.styles[[style for _, style in drawn]], (STYLE_SIZE, STYLE_SIZE), mode="bilinear", antialias=True)
    return (both[:, :3], given), both[:, 3:]


@dataclass(frozen=True)
class Network:
    """A network of the bench.

    Attributes:
        family: what kind it is, for the table.
        pairs: draws what it learns from: its inputs and what it should give.
    """

    name: str
    family: str
    make: Callable[[], nn.Module]
    pairs: Pairs
    steps: int

    def as_given(self, module: nn.Module) -> nn.Module | Model:
        """As a user hands it to the toolchain."""
        return as_two_graphs(module, self.name) if isinstance(module, AnyStyle) else module


NETWORKS = (
    Network("style", "one style: instance norms, residual blocks", StyleNet, paint, 300),
    Network("any-style", "any style: two graphs, norms from a code", AnyStyle, paint_any, 400),
    Network("unet", "U-Net: skips, batch norm", UNet, denoise, 400),
    Network("residual-sr", "x2 super-resolution: residual blocks, PReLU", SuperResolution, enlarge, 300),
    Network("mobile", "inverted residuals, SiLU, squeeze and excite", MobileNet, contrast, 400),
    Network("gated", "NAF blocks: gates, layer norm", GatedNet, restore, 400),
    Network("depthwise", "separable 7x7 convolutions, hard swish", DepthwiseNet, sharpen, 400),
    Network("curve", "curves applied eight times", CurveNet, lighten, 300),
)


def trained(network: Network, photos: Photos, steps: int | None = None) -> nn.Module:
    """The network in eval mode with the weights that the folder keeps, trained now if it has none.

    Args:
        steps: instead of the network's own.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        module = network.make()
    count = steps or network.steps
    path = photos.cache / f"{network.name}-{sources_hash(SOURCES)[:8]}-{count}.safetensors"
    if not path.is_file():
        start = time.monotonic()
        losses = list(_steps(module, network, photos, count))
        atomic_write(path, save(module.state_dict()))
        last = sum(losses[-50:]) / len(losses[-50:])
        print(f"{network.name}: {count} steps in {time.monotonic() - start:.0f} s, L1 {losses[0]:.3f} to {last:.3f}", flush=True)
    module.load_state_dict(load_file(path))
    return module.eval()


def _steps(module: nn.Module, network: Network, photos: Photos, count: int) -> Iterator[float]:
    """The L1 distance in each step."""
    random = torch.Generator().manual_seed(SEED)
    optimizer = torch.optim.Adam(module.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=count + 1)
    module.train()
    for _ in range(count):
        inputs, target = network.pairs(photos, random)
        loss = functional.l1_loss(module(*inputs), target)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        yield loss.item()


def _read(folder: Path, side: int) -> Tensor:
    images = ImageSet.from_patterns((str(folder),), ROOT)
    return torch.cat([torch.from_numpy(images.load(index, (side, side))) for index in range(len(images))])


def _pick(random: torch.Generator, count: int) -> int:
    return int(torch.randint(count, (), generator=random))


def _crop(image: Tensor, random: torch.Generator, size: int) -> Tensor:
    top, left = (_pick(random, side - size + 1) for side in image.shape[-2:])
    crop = image[..., top : top + size, left : left + size]
    return crop.flip(-1) if _pick(random, 2) else crop


def _shares(random: torch.Generator) -> Tensor:
    """How much of the damage each photo has, from none: the bench feeds photos without any."""
    return torch.rand(BATCH, 1, 1, 1, generator=random)


def _noisy(image: Tensor, amount: Tensor, random: torch.Generator) -> Tensor:
    return (image + amount * torch.randn(image.shape, generator=random)).clamp(-1, 1)


def _blurred(image: Tensor, sigma: float) -> Tensor:
    """By a Gaussian."""
    radius = int(2.5 * sigma)
    line = torch.exp(-((torch.arange(-radius, radius + 1) / sigma) ** 2) / 2)
    kernel = (line / line.sum()).repeat(3, 1, 1, 1)
    padded = functional.pad(image, (radius,) * 4, mode="reflect")
    return functional.conv2d(functional.conv2d(padded, kernel, groups=3), kernel.transpose(2, 3), groups=3)
