"""A small patch discriminator (Isola et al., CVPR 2017) that learns to tell the network's strokes from the teacher's, style by style.

It looks at patches of 22 pixels, so that it can judge strokes but not what is painted. The style code enters by projection (Miyato &
Koyama, ICLR 2018), the losses are hinges, the weights are spectrally normalised (Miyato et al., ICLR 2018).
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

CHANNELS = (32, 64, 128)
LEAK = 0.2


class PatchDiscriminator(nn.Module):
    """Pictures (N, 3, H, W) in [-1, 1] and style codes (N, style_dim) -> scores (N, 1, H / 8, W / 8), high for the teacher's."""

    def __init__(self, style_dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((3, *CHANNELS[:-1]), CHANNELS, strict=True):
            layers += [spectral_norm(nn.Conv2d(before, after, 4, 2, 1, padding_mode="replicate")), nn.LeakyReLU(LEAK)]
        self.patches = nn.Sequential(*layers)
        self.score = spectral_norm(nn.Conv2d(CHANNELS[-1], 1, 1))
        self.style = spectral_norm(nn.Linear(style_dim, CHANNELS[-1], bias=False))

    def forward(self, pictures: Tensor, codes: Tensor) -> Tensor:
        patches = self.patches(pictures)
        return self.score(patches) + (patches * self.style(codes)[:, :, None, None]).sum(dim=1, keepdim=True)


class Critic:
    """The discriminator, its optimiser, and the pictures of the last step, from which it learns after the network has.

    Args:
        style_dim: length of a style code.
        learning_rate: of Adam.
    """

    def __init__(self, style_dim: int, learning_rate: float, device: torch.device) -> None:
        self.network = PatchDiscriminator(style_dim).to(device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=learning_rate, betas=(0.0, 0.99))
        self._last: tuple[Tensor, Tensor, Tensor] | None = None

    def fool(self, painted: Tensor, taught: Tensor, codes: Tensor) -> Tensor:
        """The network's loss: how far its pictures are from being taken for the teacher's, of the same photos in the same styles."""
        self._last = painted.detach(), taught.detach(), codes.detach()
        return -self.network(painted, codes.detach()).mean()

    def learn(self) -> float:
        """One step on the pictures that ``fool`` saw last; the hinge loss, 2 for a critic that knows nothing and 0 for one that is sure."""
        if self._last is None:
            return 0.0
        painted, taught, codes = self._last
        loss = functional.relu(1 - self.network(taught, codes)).mean() + functional.relu(1 + self.network(painted, codes)).mean()
        # What the network's own step left in the discriminator's gradients goes, too.
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self._last = None
        return loss.item()

    def state(self) -> dict[str, Any]:
        """For ``restore``."""
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from ``state``."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
