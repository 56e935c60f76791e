from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import zoom
from skimage.filters import gaussian
from skimage.metrics import structural_similarity
from stylize_files import CHECKPOINT, STYLE

from instantstyle.calibration.images import load_image
from instantstyle.model.checkpoint import load_checkpoint
from instantstyle.model.network import CONFIGS, InstantStyle
from instantstyle.stylize.artifact_engine import ArtifactEngine
from instantstyle.stylize.network_engine import MARGIN, NetworkEngine
from instantstyle.stylize.tile_loop import faded
from instantstyle.stylize.tone import toned


def ignore(done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def engine() -> NetworkEngine:
    return NetworkEngine(load_checkpoint(CHECKPOINT), "", "", core=64)


@pytest.fixture(scope="module")
def code(engine: NetworkEngine) -> np.ndarray:
    return engine.code(load_image(STYLE))


def whole(engine: NetworkEngine, photo: np.ndarray, code: np.ndarray, alpha: float = 1.0) -> np.ndarray:
    """The stylizer itself on the photo mirrored up to multiples of 8."""
    height, width = photo.shape[2:]
    padded = np.pad(photo, ((0, 0), (0, 0), (0, -height % 8), (0, -width % 8)), mode="symmetric")
    with torch.no_grad():
        inputs = (torch.from_numpy(padded), torch.from_numpy(code), torch.full((1, 1), alpha))
        return engine.network.stylizer(*inputs).numpy()[:, :, :height, :width]


@pytest.mark.parametrize("alpha", [0.4, 1.0])
def test_tiles_of_the_network_give_the_picture_of_one_piece(
    engine: NetworkEngine, photo: np.ndarray, code: np.ndarray, alpha: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("instantstyle.stylize.network_engine.WHOLE_PIXELS", 0)
    parts: list[tuple[int, int]] = []
    painted = engine.paint(photo, code, alpha, lambda done, total: parts.append((done, total)))
    wanted = whole(engine, photo, code, alpha)
    assert np.abs(painted - wanted).max() < 1e-4
    assert np.abs(wanted - photo).max() > 0.3
    # Four rows and five columns, once for each of three AdaIN sites and once to paint.
    assert parts == [(done, 80) for done in range(1, 81)]


def test_tiles_of_a_painting_network_give_the_picture_of_one_piece(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deeper, with a gate and other padding: random weights see further than trained ones."""
    torch.manual_seed(0)
    engine = NetworkEngine(InstantStyle(CONFIGS["painting"]).eval(), "", "", core=128)
    monkeypatch.setattr("instantstyle.stylize.network_engine.WHOLE_PIXELS", 0)
    code = torch.randn(1, 256).numpy()
    wanted = whole(engine, photo, code, 0.7)
    assert np.abs(engine.paint(photo, code, 0.7, ignore) - wanted).max() < 1e-4
    assert np.abs(wanted - photo).max() > 0.1


def test_margin_is_wide_enough_and_not_wasted(
    engine: NetworkEngine, photo: np.ndarray, code: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("instantstyle.stylize.network_engine.WHOLE_PIXELS", 0)
    monkeypatch.setattr("instantstyle.stylize.network_engine.MARGIN", MARGIN // 3)
    assert np.abs(engine.paint(photo, code, 1.0, ignore) - whole(engine, photo, code)).max() > 1e-3


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (100, 180)])
def test_small_photos_keep_their_size(engine: NetworkEngine, artifact: Path, code: np.ndarray, size: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    photo = random.uniform(-1, 1, (1, 3, *size)).astype(np.float32)
    small = ArtifactEngine(artifact, 1)
    for painted in (engine.paint(photo, code, 1.0, ignore), small.paint(photo, code, 1.0, ignore)):
        assert painted.shape == photo.shape
        assert np.isfinite(painted).all() and np.abs(painted).max() <= 1
    small.close()


def test_artifact_gives_the_network_s_picture_at_its_own_size(engine: NetworkEngine, artifact: Path, photo: np.ndarray) -> None:
    runs = ArtifactEngine(artifact, 1)
    code = runs.code(load_image(STYLE))
    assert np.abs(code - engine.code(load_image(STYLE))).max() < 1e-3
    part = np.ascontiguousarray(photo[:, :, :128, :192])
    assert np.abs(runs.paint(part, code, 0.7, ignore) - whole(engine, part, code, 0.7)).max() < 1e-3
    runs.close()


def test_tiles_of_an_artifact_share_one_tone(engine: NetworkEngine, artifact: Path, photo: np.ndarray, code: np.ndarray) -> None:
    """Against the network on the whole photo: nearer than the faded tiles alone are, and near. One half of the photo is bright and dull."""
    photo = np.concatenate((photo, 0.2 * photo + np.float32(0.6)), axis=2)
    runs = ArtifactEngine(artifact, 1)
    prepared = {"code": code, "alpha": np.ones((1, 1), np.float32)}
    paint = partial(runs.painter._paint_tile, prepared=prepared)
    painted, (plain, _) = runs.paint(photo, code, 1.0, ignore), faded(photo, runs.painter.window, 1, paint, ignore)
    runs.close()
    wanted = whole(engine, photo, code)
    tones = [gaussian(image[0], sigma=12, channel_axis=0) for image in (painted, plain, wanted)]
    off, plainly_off = (float(np.abs(tone - tones[2]).mean()) for tone in tones[:2])
    assert off < 0.1 and off < 0.85 * plainly_off
    settings = {"channel_axis": 0, "data_range": 2, "gaussian_weights": True}
    similar, plainly_similar = (float(np.mean(structural_similarity(image[0], wanted[0], **settings))) for image in (painted, plain))
    assert similar > plainly_similar


def test_tiles_of_an_artifact_leave_no_seam(artifact: Path, code: np.ndarray) -> None:
    """On a smooth photo nothing stands out where windows begin and end, although each alone comes out in another tone."""
    height, width = 128, 310
    rows, columns = np.mgrid[:height, :width] / max(height, width)
    smooth = np.stack([np.sin(3 * rows + columns), np.cos(2 * columns), rows - columns])[None].astype(np.float32) * np.float32(0.6)
    runs = ArtifactEngine(artifact, 1)
    painted = runs.paint(smooth, code, 1.0, ignore)
    # Windows of 192 columns at 0 and 118.
    left, right = (runs.paint(np.ascontiguousarray(smooth[..., start : start + 192]), code, 1.0, ignore) for start in (0, 118))
    runs.close()

    def steps(image: np.ndarray) -> np.ndarray:
        """Mean difference of each column and the fourth after it."""
        return np.abs(image[0, :, :, 4:] - image[0, :, :, :-4]).mean(axis=(0, 1))

    # Each border lies inside of the other window, which alone has no seam there.
    whole_picture = steps(painted)
    assert whole_picture[114:118].max() < 1.2 * steps(left)[110:122].max()
    assert whole_picture[188:192].max() < 1.2 * steps(right)[184 - 118 : 196 - 118].max()
    cut = np.abs(left[0, :, :, 152] - right[0, :, :, 156 - 118]).mean()
    assert cut > 2 * whole_picture[148:160].max()


def test_contrast_of_a_tile_is_at_most_that_of_the_reduced_photo() -> None:
    """Where a tile came out in four times the contrast it gets the reduced photo's, where in half of it keeps its own."""
    noise = gaussian(np.random.default_rng(0).standard_normal((3, 96, 96)), sigma=2, channel_axis=0)
    detail = 0.1 * (noise - noise.mean()) / noise.std()
    guide, large = (torch.from_numpy(image[None]) for image in (detail + 0.15, zoom(detail, (1, 2, 2), order=1)))
    for factor, wanted in ((4.0, 1.0), (0.5, 0.5)):
        out = toned(factor * large - 0.1, guide, (3, 3))
        assert out.mean().item() == pytest.approx(0.15, abs=0.01)
        assert out.std().item() == pytest.approx(wanted * large.std().item(), rel=0.1)
