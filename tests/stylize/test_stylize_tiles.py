"""The tile loop against the network on the whole photo."""

import numpy as np
import pytest
import torch
from torch import nn

from instantstyle.stylize.tile_loop import paint_in_tiles
from instantstyle.stylize.tiles import shares, windows

TILE = (64, 96)  # so that margins are 4 and 6 pixels


def blur(radius: int) -> nn.Module:
    """Mean of the square of pixels at most ``radius`` away, black beyond the border."""
    layer = nn.Conv2d(3, 3, 2 * radius + 1, padding=radius, groups=3, bias=False)
    nn.init.constant_(layer.weight, 1 / (2 * radius + 1) ** 2)
    return layer.eval()


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("radius", "exact"), [(1, True), (4, True), (12, False)])
def test_what_looks_no_further_than_the_margin_is_painted_as_in_one_piece(radius: int, exact: bool, seed: int) -> None:
    random, network = np.random.default_rng(seed), blur(radius)

    def paint(image: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return network(torch.from_numpy(image)).numpy()

    for size in ((171, 253), (64, 97), (200, 96)):
        photo = random.uniform(-1, 1, (1, 3, *size)).astype(np.float32) + np.float32(0.5)
        off = np.abs(paint_in_tiles(photo, TILE, 1, paint, lambda done, total: None) - paint(photo)).max()
        assert off < 2e-6 if exact else off > 1e-5, size


@pytest.mark.parametrize(("length", "window"), [(97, 96), (171, 64), (253, 96), (1000, 64), (64, 64), (113, 64)])
def test_shares_add_up_and_leave_margins_out(length: int, window: int) -> None:
    overlap, margin = window // 4, window // 16
    starts = windows(length, window, overlap)
    assert starts[0] == 0 and starts[-1] == length - window
    total, counting = np.zeros(length), np.zeros(length, int)
    for start, own in zip(starts, shares(starts, window, margin), strict=True):
        total[start : start + window] += own
        counting[start : start + window] += own > 0
        # Nothing within the margin of a border that is not the picture's.
        assert start == 0 or not own[:margin].any()
        assert start == starts[-1] or not own[window - margin :].any()
    np.testing.assert_allclose(total, 1, atol=1e-12)
    assert counting.min() >= 1
