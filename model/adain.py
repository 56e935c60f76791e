"""Adaptive instance normalisation (Huang & Belongie, ICCV 2017, arXiv:1703.06868)."""

import torch
from torch import Tensor, nn

EPSILON = 1e-5
STATISTICS_STRIDE = 2


def channel_statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every channel of every image.

    Args:
        features: (N, C, H, W).

    Returns:
        mean and standard deviation, both (N, C, 1, 1). The variance is the biased one, with
        ``EPSILON`` added before the root, as in instance normalisation.
    """
    mean = features.mean(dim=(2, 3), keepdim=True)
    # Centred rather than E[x^2] - E[x]^2: the latter cancels in float16.
    variance = (features - mean).square().mean(dim=(2, 3), keepdim=True)
    return mean, (variance + EPSILON).sqrt()


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
    """

    def __init__(self, channels: int, style_dim: int) -> None:
        super().__init__()
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
        statistics = channel_statistics(features[:, :, ::STATISTICS_STRIDE, ::STATISTICS_STRIDE])
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
