"""Painting with the PyTorch network. A large photo goes through in tiles, with the same result as in one piece.

AdaIN needs statistics of the whole photo, a tile has only its own. So the tiles go through several times: once for each
AdaIN, up to where it wants statistics, adding up sums over the tiles' cores, and a last time with all statistics known.
"""

import copy
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ..calibration.images import to_array
from ..model.adain import STATISTICS_STRIDE, AdaIN
from ..model.checkpoint import load_checkpoint
from ..model.network import SIZE_MULTIPLE, STYLE_SIZE, InstantStyle
from ..system.hashing import file_sha256
from .engine import Engine, Say, pad
from .tiles import Tile, tiles

# AdaIN samples every second cell of 8 pixels: tiles must start on that grid.
GRID = STATISTICS_STRIDE * SIZE_MULTIPLE
CORE = 1024
# At least half of the receptive field of an output pixel, on the grid.
MARGIN = 96
# Photos of no more are painted in one piece.
WHOLE_PIXELS = (CORE + 2 * MARGIN) ** 2


class _StatisticsWantedError(Exception):
    """Ends the pass of a tile at the AdaIN whose statistics are being collected."""


class WholePhotoAdaIN(nn.Module):
    """Stands for an AdaIN while a photo goes through in tiles; its statistics are of the whole photo.

    Args:
        adain: gives the affine layer.
    """

    def __init__(self, adain: AdaIN) -> None:
        super().__init__()
        self.adain = adain
        self.reset()

    def reset(self) -> None:
        """Forgets the photo."""
        self.statistics: tuple[Tensor, Tensor] | None = None
        self.count, self.sum, self.squares = 0, torch.zeros(()), torch.zeros(())
        self.tile: Tile | None = None
        self.height = 0

    def finish(self) -> None:
        """All tiles were seen: sums become mean and deviation, each (1, C, 1, 1)."""
        mean = self.sum / self.count
        deviation = (self.squares / self.count - mean.square() + self.adain.epsilon).sqrt()
        self.statistics = (mean.float(), deviation.float())

    def forward(self, features: Tensor, code: Tensor, alpha: Tensor) -> Tensor:
        """As ``AdaIN``, on the features of one tile."""
        if self.statistics is not None:
            return self.adain.restyle(features, self.statistics, code, alpha)
        assert self.tile is not None
        # The tile starts on the grid, so every second row of the core is every second row of the photo.
        core = features[(..., *self.tile.core(self.height // features.shape[2]))]
        sample = core[:, :, ::STATISTICS_STRIDE, ::STATISTICS_STRIDE].double()
        self.count += sample.shape[2] * sample.shape[3]
        self.sum = self.sum + sample.sum(dim=(2, 3), keepdim=True)
        # In float64 nothing cancels.
        self.squares = self.squares + sample.square().sum(dim=(2, 3), keepdim=True)
        raise _StatisticsWantedError


class NetworkEngine(Engine):
    """The network of a checkpoint, in float32 on the CPU.

    Args:
        network: in eval mode; it is not changed.
        name: for people.
        identity: changes with the weights.
        core: side of a tile without its context, in pixels, a multiple of 16.
    """

    def __init__(self, network: InstantStyle, name: str, identity: str, core: int = CORE) -> None:
        if core % GRID:
            raise ValueError(f"core must be a multiple of {GRID}, got {core}")
        self.name, self.identity, self.core = name, identity, core
        self.network = network
        self.tiled = copy.deepcopy(network.stylizer)
        self.sites: list[WholePhotoAdaIN] = []
        for path, module in list(self.tiled.named_modules()):
            if isinstance(module, AdaIN):
                self.sites.append(WholePhotoAdaIN(module))
                self.tiled.set_submodule(path, self.sites[-1])

    @classmethod
    def load(cls, checkpoint: Path) -> "NetworkEngine":
        """Raises CheckpointError if the checkpoint cannot be used."""
        return cls(load_checkpoint(checkpoint), f"PyTorch, {checkpoint}", file_sha256(checkpoint))

    def code(self, artwork: Image.Image) -> np.ndarray:
        with torch.inference_mode():
            return self.network.style_encoder(torch.from_numpy(to_array(artwork, (STYLE_SIZE, STYLE_SIZE)))).numpy()

    def paint(self, photo: np.ndarray, code: np.ndarray, alpha: float, say: Say) -> np.ndarray:
        height, width = photo.shape[2:]
        padded = torch.from_numpy(pad(photo, *(-(-length // SIZE_MULTIPLE) * SIZE_MULTIPLE for length in (height, width))))
        style = (torch.from_numpy(code), torch.tensor([[alpha]], dtype=torch.float32))
        with torch.inference_mode():
            if height * width <= WHOLE_PIXELS:
                painted = self.network.stylizer(padded, *style)
                say(1, 1)
            else:
                painted = self._in_tiles(padded, *style, say)
        return painted[:, :, :height, :width].numpy()

    def _in_tiles(self, photo: Tensor, code: Tensor, alpha: Tensor, say: Say) -> Tensor:
        painted = torch.empty_like(photo)
        cover = tiles((photo.shape[2], photo.shape[3]), self.core, MARGIN)
        for site in self.sites:
            site.reset()
        passes = len(self.sites) + 1
        for index in range(passes):
            for done, tile in enumerate(cover):
                self._paint_tile(photo, tile, painted, code, alpha)
                say(index * len(cover) + done + 1, passes * len(cover))
            for site in self.sites:
                if site.count and site.statistics is None:
                    site.finish()
        return painted

    def _paint_tile(self, photo: Tensor, tile: Tile, painted: Tensor, code: Tensor, alpha: Tensor) -> None:
        part = photo[(..., *tile.seen)]
        for site in self.sites:
            site.tile, site.height = tile, part.shape[2]
        try:
            painted[(..., *tile.kept)] = self.tiled(part, code, alpha)[(..., *tile.core())]
        except _StatisticsWantedError:
            return
