import math

import numpy as np
import pytest

from instantstyle.metrics.local_errors import colour_difference, worst_block
from instantstyle.metrics.ssim import similarity
from instantstyle.model.graph import TensorSpec
from instantstyle.validation.results.departure import Departure

SPEC = TensorSpec("image", minimum=0, maximum=255, mean=(10.0, 20.0, 30.0), order="BGR")


def painted(seed: int = 0) -> np.ndarray:
    """(3, 128, 128) RGB levels of a smooth picture."""
    rows, columns = np.mgrid[:128, :128] / 25
    waves = np.stack([np.sin(rows + columns), np.cos(rows), np.sin(columns)])
    return np.clip(127 + 90 * waves + np.random.default_rng(seed).normal(0, 3, waves.shape), 0, 255)


def in_network_order(levels: np.ndarray) -> np.ndarray:
    return (levels[None, ::-1] - np.array([10.0, 20.0, 30.0])[:, None, None]).astype(np.float32)


def test_a_departure_is_of_the_picture_that_people_see() -> None:
    """In the network's own order, mean and range; what leaves the range is clipped in both."""
    own, other = painted(), np.clip(painted() + np.random.default_rng(1).normal(0, 12, (3, 128, 128)), -40, 300)
    found = Departure.of("x", SPEC, in_network_order(own), in_network_order(other))
    seen = np.clip(other, 0, 255)
    structure = similarity(own, seen, 0, 255)
    assert (found.ssim, found.tile_ssim) == pytest.approx((structure.mean, structure.worst_tile), abs=1e-5)
    assert found.block == pytest.approx(worst_block(own, seen, 0, 255), abs=1e-5)
    assert found.colour == pytest.approx(colour_difference(own, seen, 0, 255), abs=1e-3)


def test_equal_pictures_do_not_depart() -> None:
    picture = in_network_order(painted())
    found = Departure.of("x", SPEC, picture, picture)
    assert (found.ssim, found.tile_ssim, found.block, found.colour) == pytest.approx((1, 1, 0, 0))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_nan_or_inf_is_nan_throughout(value: float) -> None:
    broken = in_network_order(painted())
    broken[0, 0, 5, 5] = value
    found = Departure.of("x", SPEC, in_network_order(painted()), broken)
    assert all(map(math.isnan, (found.ssim, found.tile_ssim, found.block, found.colour)))
