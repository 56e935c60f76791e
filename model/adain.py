"""Adaptive instance normalisation (Huang & Belongie, ICCV 2017, arXiv:1703.06868)."""

import torch
from torch import Tensor, nn

EPSILON = 1e-5
STATISTICS_STRIDE = 2
RGB = 3


def channel_statistics(features: Tensor, epsilon: float = EPSILON) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every channel of every image.

    Args:
        features: (N, C, H, W).
        epsilon: added to the variance before the root.

    Returns:
        mean and standard deviation, both (N, C, 1, 1). The variance is the biased one, as in instance normalisation.
    """
    mean = features.mean(dim=(2, 3), keepdim=True)
    # Centred rather than E[x^2] - E[x]^2: the latter cancels in float16.
    variance = (features - mean).square().mean(dim=(2, 3), keepdim=True)
    return mean, (variance + epsilon).sqrt()


class AdaIN(nn.Module):
    """Gives content features the mean and deviation that a style code asks for.

    ``alpha`` moves the statistics from the content's own (0: the features pass unchanged) to the
    style's (1). The interpolation happens on the (N, C) statistics, never on the feature maps, so it
    costs nothing: one multiplication and one addition per element, whatever ``alpha`` is.

    The content's statistics are taken from every second row and column: the four-fold sample changes
    them by little and the network is trained with it, and an int8 runtime, where they are a float
    island, spends half the time here.

    Args:
        channels: C of the features.
        style_dim: length of the style code.
        epsilon: added to the content's variance. Where the photo is plain, the features' noise is amplified by up to its root's inverse.
    """

    def __init__(self, channels: int, style_dim: int, epsilon: float = EPSILON) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.affine = nn.Linear(style_dim, 2 * channels)
        with torch.no_grad():
            self.affine.bias[:channels] = 1.0
            self.affine.bias[channels:] = 0.0

    @property
    def channels(self) -> int:
        """C of the features: fewer after pruning."""
        return self.affine.out_features // 2

    def forward(self, features: Tensor, code: Tensor, alpha: Tensor) -> Tensor:
        """(N, C, H, W), (N, style_dim), (N, 1) in [0, 1] -> (N, C, H, W)."""
        statistics = channel_statistics(features[:, :, ::STATISTICS_STRIDE, ::STATISTICS_STRIDE], self.epsilon)
        return self.restyle(features, statistics, code, alpha)

    def restyle(self, features: Tensor, statistics: tuple[Tensor, Tensor], code: Tensor, alpha: Tensor) -> Tensor:
        """As ``forward``, with the content's mean and deviation, each (N, C, 1, 1), given."""
        style = self.affine(code)[:, :, None, None]
        style_deviation, style_mean = style[:, : self.channels], style[:, self.channels :]
        mean, deviation = statistics
        weight = alpha[:, :, None, None]
        new_deviation = deviation + weight * (style_deviation - deviation)
        new_mean = mean + weight * (style_mean - mean)
        scale = new_deviation / deviation
        return features * scale + (new_mean - mean * scale)


class GatedAdaIN(AdaIN):
    """An AdaIN that ``alpha`` opens: at 0 its output is zero, at 1 it has the style's mean and deviation.

    Where what follows it is added to the photo, ``alpha`` = 0 gives back the photo itself.
    """

    def restyle(self, features: Tensor, statistics: tuple[Tensor, Tensor], code: Tensor, alpha: Tensor) -> Tensor:
        """As ``AdaIN.restyle``."""
        style = self.affine(code)[:, :, None, None]
        mean, deviation = statistics
        weight = alpha[:, :, None, None]
        scale = weight * style[:, : self.channels] / deviation
        return features * scale + (weight * style[:, self.channels :] - mean * scale)


class PhotoGate(nn.Module):
    """How much of the photo stays in the picture: each colour by a factor, and moved by an offset, that the style code asks for.

    ``alpha`` moves both from 1 and 0 (the photo itself) to the style's. There are no statistics of the photo here: dividing by the
    deviation of a plain sky would make its noise visible.

    Args:
        style_dim: length of the style code.
    """

    START = 0.5

    def __init__(self, style_dim: int) -> None:
        super().__init__()
        self.affine = nn.Linear(style_dim, 2 * RGB)
        with torch.no_grad():
            self.affine.weight.mul_(0.1)
            self.affine.bias[:RGB] = self.START
            self.affine.bias[RGB:] = 0.0

    def forward(self, photo: Tensor, code: Tensor, alpha: Tensor) -> Tensor:
        """(N, 3, H, W), (N, style_dim), (N, 1) in [0, 1] -> (N, 3, H, W)."""
        style = self.affine(code)[:, :, None, None]
        weight = alpha[:, :, None, None]
        return photo * (1 + weight * (style[:, :RGB] - 1)) + weight * style[:, RGB:]
