"""The figures of ``instantstyle evaluate`` on made pictures whose value is known."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from training_nets import tiny_network

from instantstyle.training.evaluation import compression, frame, octaves, page, stability
from instantstyle.training.evaluation.goals import GOALS, at_least, at_most
from instantstyle.training.evaluation.likeness import likeness
from instantstyle.training.evaluation.pairs import Evaluation
from instantstyle.training.evaluation.table import as_text, rows_of

LUMA_OF_RED = 0.299


def grey(values: np.ndarray) -> torch.Tensor:
    """(H, W) in [0, 1] -> (1, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(values).float().expand(1, 3, *values.shape) * 2 - 1


@pytest.mark.parametrize("deviation", [0.5, 1.7, 6.0])
def test_smoothing_is_scipy_s(deviation: float) -> None:
    picture = np.random.default_rng(0).normal(size=(40, 52))
    wanted = gaussian_filter(picture, deviation, mode="mirror", truncate=round(4 * deviation) / deviation)
    assert np.allclose(octaves.smooth(torch.from_numpy(picture)[None, None], deviation)[0, 0], wanted, atol=1e-12)


def test_energy_of_a_wave_is_its_power_by_the_filters_gain() -> None:
    """A cosine of amplitude a has power a^2 / 2; a wave in red alone has luma 0.299 of it."""
    period, amplitude = 24, 0.3
    x = np.arange(4 * period + 1)  # mirrored at both ends, the wave goes on
    wave = np.broadcast_to(amplitude * np.cos(2 * np.pi * x / period), (97, 97))
    inner = np.ones_like(wave) / (97 * 97)
    power = float((inner * wave**2).sum())
    luma, _ = octaves.energies(grey(0.5 + wave))
    red = grey(0.5 + wave)
    red[:, 1:] = 0
    luma_of_red, chroma_of_red = octaves.energies(red)

    def gain(pixels: float) -> float:
        return math.exp(-2 * (math.pi * pixels / period) ** 2) - math.exp(-8 * (math.pi * pixels / period) ** 2)

    for index, pixels in enumerate(octaves.LUMA_PIXELS[1:5], start=1):
        assert luma[0, index].item() == pytest.approx(power * gain(pixels) ** 2, rel=0.02)
        assert luma_of_red[0, index].item() == pytest.approx(LUMA_OF_RED**2 * power * gain(pixels) ** 2, rel=0.02)
    # Cb is -0.1687 and Cr 0.5 of red.
    assert chroma_of_red[0, 1].item() == pytest.approx((0.168736**2 + 0.25) * power * gain(4) ** 2, rel=0.02)
    _, chroma_of_grey = octaves.energies(grey(0.5 + wave))
    assert chroma_of_grey.abs().max() < 1e-10


def test_grid_peak_is_signal_over_noise() -> None:
    """Steps of a sin(pi n / 4) in noise of deviation s: (a N / 2)^2 in the line, N s^2 besides."""
    amplitude, deviation, length = 0.004, 0.002, 256
    noise = np.random.default_rng(0).normal(0, deviation, (400, length))
    steps = noise + amplitude * np.sin(np.pi / 4 * np.arange(length))
    picture = 0.5 + np.concatenate((np.zeros((400, 1)), np.cumsum(steps, axis=1)), axis=1)
    expected = 1 + amplitude**2 * length / (4 * deviation**2)
    assert compression.grid_peak(grey(picture)) == pytest.approx(expected, rel=0.03)
    assert compression.grid_peak(grey(np.full((64, 64), 0.4))) == pytest.approx(1)
    flat = 0.5 + np.concatenate((np.zeros((400, 1)), np.cumsum(noise, axis=1)), axis=1)
    assert compression.grid_peak(grey(flat)) == pytest.approx(1, abs=0.1)


def test_a_saved_sky_has_a_grid_and_the_sky_itself_has_none() -> None:
    sky = compression.clear_sky(128)
    assert sky.shape == (128, 128, 3) and sky[0, 0].tolist() == [70, 120, 190] and sky[-1, -1].tolist() == [200, 215, 225]
    jumps = [np.abs(np.diff(pixels.astype(float).mean(axis=2), axis=1)) for pixels in (sky, compression.saved_as_jpeg(sky))]
    at_blocks, elsewhere = jumps[1][:, 7::8].mean(), np.delete(jumps[1], np.s_[7::8], axis=1).mean()
    assert at_blocks > 3 * elsewhere
    assert jumps[0][:, 7::8].mean() < 1.3 * np.delete(jumps[0], np.s_[7::8], axis=1).mean()


def test_border_difference_of_a_ramp_and_of_a_frame() -> None:
    ramp = torch.arange(40.0).expand(1, 3, 40, 40) / 100
    # Rows do not differ, columns by 8 steps of 0.01: two sides of four.
    assert frame.border_difference(ramp) == pytest.approx(0.04)
    framed = torch.zeros(1, 3, 40, 40)
    framed[:, :, 0], framed[:, :, -1], framed[:, :, :, 0], framed[:, :, :, -1] = 0.5, 0.5, 0.5, 0.5
    # The corners' columns 8 pixels inside are border too, in two of 40 places.
    assert frame.border_difference(framed) == pytest.approx(0.5 * 38 / 40)
    # Texture is no frame: every second pixel of the border is as much above as the next is below.
    dotted = torch.zeros(1, 3, 40, 40)
    dotted[:, :, 0] = torch.where(torch.arange(40) % 2 == 0, 0.5, -0.5)
    assert frame.border_difference(dotted) == pytest.approx(0)


def test_flicker_of_filters_that_are_known() -> None:
    photo = torch.from_numpy(np.random.default_rng(0).uniform(-0.5, 0.5, (1, 3, 125, 125))).float()
    assert stability.flicker(photo, lambda x: x) == pytest.approx(1)
    assert stability.flicker(photo, lambda x: 0.5 * x + 0.2) == pytest.approx(0.5, rel=1e-4)
    assert stability.flicker(photo, torch.zeros_like) == 0
    # The frames differ by two independent normal noises, whose mean absolute difference is 2 s / sqrt(pi).
    frames = stability.pan(photo, 80)
    assert stability.warped_difference(frames) == pytest.approx(2 * stability.NOISE / math.sqrt(math.pi), rel=0.01)
    # A texture that sticks to the screen: stripes every second column, 2 high, move by an odd number of columns.
    stripes = torch.where(torch.arange(80) % 2 == 0, 1.0, -1.0).expand(1, 3, 80, 80)
    assert stability.flicker(photo, lambda x: stripes) == pytest.approx(2 / stability.warped_difference(frames), rel=1e-4)


def evaluation(**changes: object) -> Evaluation:
    luma = {f"{pixels:g}": 1.0 for pixels in octaves.LUMA_PIXELS}
    chroma = {f"{pixels:g}": 1.0 for pixels in octaves.CHROMA_PIXELS}
    figures = {"photos": 3, "artworks": 2, "teacher_l1": 0.07, "photo_l1": 0.2, "style_share": 0.2, "teacher_style_share": 0.19}
    figures |= {"diversity": 1.0, "swept": 6, "identity_ssim": 0.99, "monotonic_share": 1.0, "luma_energy": luma, "chroma_energy": chroma}
    figures |= {"grid_peak": 1.5, "teacher_grid_peak": 15.0, "frame": 1.0, "teacher_frame": 2.2, "flicker": 3.0}
    return Evaluation(**(figures | changes))  # type: ignore[arg-type]


def test_every_limit_of_the_table_can_be_missed() -> None:
    good = evaluation()
    assert all(row.met for row in rows_of(good, (0.99, 0.96)))
    wrong = {"teacher_l1": 0.081, "style_share": 0.22, "diversity": 0.94, "identity_ssim": 0.94, "monotonic_share": 0.99}
    wrong |= {"grid_peak": 3.1, "frame": 1.31}
    for name, value in wrong.items():
        missed = [row for row in rows_of(evaluation(**{name: value})) if not row.met]
        assert len(missed) == 1 and missed[0].value == value, name
    for name, pixels, values in (("luma_energy", "0.5", (0.84, 1.16)), ("chroma_energy", "16", (0.79, 1.21))):
        for value in values:
            (row,) = [row for row in rows_of(evaluation(**{name: getattr(good, name) | {pixels: value}})) if not row.met]
            assert row.value == value and f"{pixels} pixels" in row.title
    assert [row.title for row in rows_of(good, (0.979, 0.949)) if not row.met] == ["SSIM to the other checkpoint at 512, mean", "  worst"]
    assert set(GOALS) == {*wrong, "luma_energy", "chroma_energy", "likeness_mean", "likeness_worst"}


def test_targets_say_which_way_is_better() -> None:
    assert at_most(3, 2).met(3) and not at_most(3, 2).met(3.01) and at_least(0.5, 1).met(0.5) and not at_least(0.5, 1).met(0.49)
    lines = as_text(evaluation(frame=1.4), rows_of(evaluation(frame=1.4))).splitlines()
    (line,) = [line for line in lines if line.endswith("missed")]
    assert "1.4000" in line and line.split()[-4:] == ["1.4000", "1.3", "1.1", "missed"]
    assert any("0.85 to 1.15" in line and "0.93 to 1.07" in line for line in lines)


def test_page_needs_no_other_file_and_marks_what_is_missed(tmp_path: Path) -> None:
    grid = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    result = evaluation(style_share=0.3)
    path = page.write_page(tmp_path / "deep" / "page", "a <b>", result, rows_of(result), grid)
    text = path.read_text()
    assert text.count('class="missed"') == 1 and '<td class="missed">0.3000</td><td>0.215</td><td>0.19</td>' in text
    assert "a &lt;b&gt;" in text and "http" not in text and 'src="data:image/jpeg;base64,' in text
    assert np.array_equal(np.asarray(Image.open(path.parent / "grid.png")), grid)


def test_likeness_of_a_network_to_itself_is_one(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    paths = [tmp_path / f"{index}.png" for index in range(2)]
    for path in paths:
        Image.fromarray(random.integers(0, 256, (9, 9, 3), dtype=np.uint8)).resize((96, 96)).save(path)
    network, other = tiny_network(0), tiny_network(1)
    said: list[tuple[int, int]] = []
    assert likeness(network, network, paths[:1], paths, lambda *done: said.append(done)) == (1.0, 1.0)
    assert said == [(1, 2), (2, 2)]
    mean, worst = likeness(network, other, paths[:1], paths, lambda *done: None)
    assert worst < mean < 0.99
