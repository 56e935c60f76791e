"""The perceptual distance beside VGG-16 written out in NumPy, and that it sees what it is for."""

import math
from collections.abc import Iterator

import h5py
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from validation_fakes import measurements

from instantstyle.metrics import perceptual
from instantstyle.metrics.perceptual import CONVOLUTIONS, MEAN_BGR, perceptual_distance, weights_file
from instantstyle.model.graph import TensorSpec
from instantstyle.recipe.limits import Limits
from instantstyle.validation.judge.departure import departure_checks
from instantstyle.validation.results.departure import Departure, Departures

RANDOM = np.random.default_rng(0)


def by_numpy(picture: np.ndarray) -> Iterator[np.ndarray]:
    """(3, H, W) RGB in 0 to 255 -> relu1_1, relu2_1, relu3_1, relu4_1, each (C, h, w), in float64."""
    path = weights_file()
    assert path is not None
    x = picture[::-1].astype(np.float64) - np.array(MEAN_BGR)[:, None, None]
    with h5py.File(path) as weights:
        for block, count in CONVOLUTIONS.items():
            if block > 1:
                height, width = (side // 2 for side in x.shape[1:])
                x = x[:, : 2 * height, : 2 * width].reshape(len(x), height, 2, width, 2).max(axis=(2, 4))
            for index in range(count):
                variables = f"block{block}/layers/conv2d{f'_{index}' if index else ''}/vars"
                kernel, bias = (np.asarray(weights[f"{variables}/{i}"], np.float64) for i in (0, 1))
                windows = sliding_window_view(np.pad(x, ((0, 0), (1, 1), (1, 1))), (3, 3), axis=(1, 2))
                x = np.maximum(np.einsum("chwij,ijco->ohw", windows, kernel, optimize=True) + bias[:, None, None], 0)
                if index == 0:
                    yield x


def test_it_is_the_distance_of_unit_features() -> None:
    one, other = RANDOM.uniform(0, 255, (2, 3, 32, 24)).astype(np.float32)
    wanted = 0.0
    for first, second in zip(by_numpy(one), by_numpy(other), strict=True):
        units = [each / np.maximum(np.linalg.norm(each, axis=0), 1e-12) for each in (first, second)]
        wanted += ((units[0] - units[1]) ** 2).sum(axis=0).mean()
    assert perceptual_distance(one, other, 0, 255) == pytest.approx(wanted, rel=1e-4)
    assert wanted > 0.5
    assert perceptual_distance(one, one, 0, 255) == 0


def test_grey_is_three_equal_channels_and_large_pictures_are_averaged() -> None:
    grey, other = RANDOM.uniform(0, 1, (2, 1, 64, 64))
    colour, other_colour = (np.repeat(each, 3, axis=0) for each in (grey, other))
    assert perceptual_distance(grey, other, 0, 1) == pytest.approx(perceptual_distance(colour, other_colour, 0, 1))
    enlarged = {by: [each.repeat(by, axis=1).repeat(by, axis=2) for each in (colour, other_colour)] for by in (2, 4)}
    twice, larger = (perceptual_distance(both[0], both[1], 0, 1) for both in (enlarged[2], enlarged[4]))
    assert larger == pytest.approx(twice, rel=1e-4)
    assert perceptual_distance(grey[:, :8], other[:, :8], 0, 1) is None


def test_without_weights_only_a_limit_that_was_set_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = RANDOM.uniform(0, 255, (1, 3, 32, 32)).astype(np.float32)
    spec = TensorSpec("image", minimum=0, maximum=255)
    with_weights = Departure.of("a", spec, picture, picture[:, :, ::-1].copy())
    monkeypatch.setattr(perceptual, "_network", lambda: None)
    without = Departure.of("a", spec, picture, picture[:, :, ::-1].copy())
    assert with_weights.perceptual is not None and with_weights.perceptual > 0.1 and without.perceptual is None

    def checked(row: Departure, limits: Limits) -> list[str]:
        found = departure_checks(measurements(departures=Departures((row,), ())), "x", limits)
        return [check.sentence for check in found if check.limit == "max_perceptual" and not check.passed]

    assert checked(without, Limits()) == []
    assert "perceptual distance" in checked(without, Limits(max_perceptual=0.3))[0]
    assert "perceptual distance" in checked(with_weights, Limits(max_perceptual=0.1))[0]
    assert checked(with_weights, Limits(max_perceptual=8.0)) == []
    assert checked(Departure("a", *[math.nan] * 5), Limits()) != []
