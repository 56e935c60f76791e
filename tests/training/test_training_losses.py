import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from instantstyle.metrics.perceptual import PerceptualNetwork
from instantstyle.model.network import InstantStyle
from instantstyle.training.codes import SMALLEST_DEVIATION, components, target_codes
from instantstyle.training.losses import relative_distance, relative_distances, rise
from instantstyle.training.style_statistics import STATISTICS, style_statistics


@pytest.fixture(scope="module")
def vgg() -> PerceptualNetwork:
    return PerceptualNetwork()


def convolve(image: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """3x3 convolution with zero padding in float64, (C, H, W)."""
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)))
    out = np.zeros((kernel.shape[0], *image.shape[1:]))
    for row in range(3):
        for column in range(3):
            window = padded[:, row : row + image.shape[1], column : column + image.shape[2]]
            out += np.einsum("oi,ihw->ohw", kernel[:, :, row, column], window)
    return out + bias[:, None, None]


def test_vgg_is_that_of_its_weight_file_in_float64(vgg: PerceptualNetwork) -> None:
    """relu1_1 and relu2_1 by NumPy from BGR 0 to 255 minus the mean; bfloat16 keeps about 8 bits."""
    random = np.random.default_rng(0)
    levels = random.integers(0, 256, (16, 16, 3)).astype(np.float64)
    x = (levels[..., ::-1] - np.array([103.939, 116.779, 123.68])).transpose(2, 0, 1)
    weights = [(c.weight.double().numpy(), c.bias.double().numpy()) for c in vgg.convolutions]  # type: ignore[union-attr,operator]
    first = np.maximum(convolve(x, *weights[0]), 0)
    second = np.maximum(convolve(first, *weights[1]), 0)
    pooled = second.reshape(64, 8, 2, 8, 2).max(axis=(2, 4))
    third = np.maximum(convolve(pooled, *weights[2]), 0)
    features = vgg(torch.from_numpy(levels / 127.5 - 1).float().permute(2, 0, 1)[None])
    assert [feature.shape[1] for feature in features] == [64, 128, 256, 512]
    for feature, wanted in ((features[0], first), (features[1], third)):
        error = np.abs(feature[0].double().numpy() - wanted)
        assert error.mean() < 0.01 * np.abs(wanted).mean()


def test_vgg_tells_edges_from_flat_colour(vgg: PerceptualNetwork) -> None:
    """The weights are trained ones: a random network would not react several times as much to edges."""
    flat, stripes = torch.zeros(1, 3, 64, 64), torch.ones(1, 3, 64, 64)
    stripes[..., ::8] = -1
    deviations = [style_statistics(vgg(image))[2][0, 256:].mean() for image in (flat, stripes)]
    assert deviations[1] > 5 * deviations[0]


def test_statistics_are_mean_and_deviation(vgg: PerceptualNetwork) -> None:
    features = [torch.randn(2, 4, 5, 6).bfloat16()]
    (statistics,) = style_statistics(features)
    values = features[0].double().numpy()
    assert np.allclose(statistics[:, :4], values.mean(axis=(2, 3)), atol=1e-5)
    assert np.allclose(statistics[:, 4:], values.std(axis=(2, 3)), atol=1e-5)
    assert sum(layer.shape[1] for layer in style_statistics(vgg(torch.zeros(1, 3, 32, 32)))) == STATISTICS


def test_relative_distance_weighs_layers_alike() -> None:
    target = [torch.full((1, 4), 2.0), torch.full((1, 4), 200.0)]
    off_by_a_tenth = [value * 1.1 for value in target]
    assert relative_distance(off_by_a_tenth, target).item() == pytest.approx(0.01 + 0.01, rel=1e-3)


def test_components_are_half_whitened_principal_components() -> None:
    random = np.random.default_rng(3)
    values = random.normal(size=(200, 5)) @ np.diag([9.0, 4.0, 1.0, 0.25, 0.001]) @ np.linalg.qr(random.normal(size=(5, 5)))[0]
    out = components(torch.from_numpy(values), 7).numpy()
    eigenvalues = np.linalg.eigvalsh(np.cov(values.T, bias=True))[::-1]
    deviations = np.sqrt(np.maximum(eigenvalues, 0))
    wanted = deviations / np.sqrt(np.maximum(deviations, SMALLEST_DEVIATION * deviations[0]))
    assert np.allclose(out[:, :5].std(axis=0), wanted, rtol=1e-6)
    covariance = out.T @ out / 200
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 1e-9
    assert not out[:, 5:].any()


def test_target_codes_keep_what_they_are_made_of() -> None:
    """Vectors can be read back from the first numbers, and both parts weigh the same."""
    random = np.random.default_rng(4)
    vectors = (random.normal(size=(300, 6)) @ random.normal(size=(6, 6))).astype(np.float32)
    statistics = random.normal(size=(300, 20)).astype(np.float32)
    codes = target_codes(vectors, statistics, 16).double().numpy()
    assert codes.shape == (300, 16)
    assert np.square(codes[:, :6]).mean() == pytest.approx(1, rel=1e-5) and np.square(codes[:, 6:]).mean() == pytest.approx(1, rel=1e-5)
    design = np.column_stack((codes[:, :6], np.ones(300)))
    read = design @ np.linalg.lstsq(design, vectors, rcond=None)[0]
    assert np.abs(read - vectors).max() < 1e-3


@pytest.mark.slow
def test_evaluation_against_its_definition() -> None:
    """Two photos, two artworks, the shipped checkpoint: every figure again, plainly."""
    from pathlib import Path

    from instantstyle.model.checkpoint import load_checkpoint
    from instantstyle.training.evaluation.pairs import evaluate
    from instantstyle.training.images import load_square, to_tensor
    from instantstyle.training.sizes import ALPHAS
    from instantstyle.training.teacher import Teacher

    root = Path(__file__).parents[2]
    photos = sorted((root / "samples/validation/photos").glob("*.jpg"))[:2]
    artworks = sorted((root / "samples/validation/styles").glob("*.jpg"))[:2]
    network: InstantStyle = load_checkpoint(root / "checkpoints/instantstyle-12m.safetensors")
    result = evaluate(network, photos, artworks, lambda done, total: None)
    teacher, vgg = Teacher(1), PerceptualNetwork()
    l1, share, identity, falls, ratios = [], [], [], [], []

    def statistics(image: torch.Tensor) -> list[np.ndarray]:
        return [layer.double().numpy() for layer in style_statistics(vgg(image))]

    for photo_path in photos:
        pixels = load_square(photo_path, 384)
        outputs, taught = [], []
        for artwork_path in artworks:
            style = load_square(artwork_path, 512)
            taught.append(teacher.stylize(pixels, teacher.style_vector(style)) / 255)
            with torch.no_grad():
                steps = [network(to_tensor(pixels[None]), to_tensor(style[None]), torch.tensor([[alpha]])) for alpha in ALPHAS]
            wanted = statistics(to_tensor(load_square(artwork_path, 384)[None]))
            images = [*steps, to_tensor(pixels[None])]
            distances = [
                sum(((a - b) ** 2).mean() / ((b**2).mean() + 1e-3) for a, b in zip(statistics(image), wanted, strict=True))
                for image in images
            ]
            outputs.append((steps[-1][0].permute(1, 2, 0).numpy() + 1) / 2)
            l1.append(np.abs(outputs[-1] - taught[-1]).mean())
            share.append(distances[4] / distances[5])
            falls.append(distances[:5] == sorted(distances[:5], reverse=True))
            same = (steps[0][0].permute(1, 2, 0).numpy() + 1) / 2
            options = {"channel_axis": 2, "data_range": 1.0, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
            identity.append(structural_similarity(pixels / 255, same.astype(np.float64), **options))
        ratios.append(np.abs(outputs[0] - outputs[1]).mean() / np.abs(taught[0] - taught[1]).mean())
    assert (result.photos, result.artworks) == (2, 2)
    assert result.teacher_l1 == pytest.approx(np.mean(l1), rel=1e-3)
    assert result.style_share == pytest.approx(np.mean(share), rel=2e-2)
    assert result.identity_ssim == pytest.approx(np.mean(identity), abs=2e-3)
    assert result.monotonic_share == np.mean(falls)
    assert result.diversity == pytest.approx(np.mean(ratios), rel=1e-3)


def test_distances_of_single_images_are_those_of_batches_of_one() -> None:
    torch.manual_seed(0)
    features, targets = ([torch.randn(3, 4, 5), torch.randn(3, 7)] for _ in range(2))
    got = relative_distances(features, targets)
    for row in range(3):
        wanted = sum(
            ((f[row].double() - t[row].double()).square().mean() / (t[row].double().square().mean() + 1e-3)).item()
            for f, t in zip(features, targets, strict=True)
        )
        assert got[row].item() == pytest.approx(wanted, rel=1e-5)
        assert relative_distance([f[row : row + 1] for f in features], [t[row : row + 1] for t in targets]).item() == pytest.approx(wanted)
    assert torch.equal(relative_distances(features, [t[:1] for t in targets])[0], got[0])


def test_rise_is_nothing_where_every_step_falls_and_pushes_a_step_that_does_not() -> None:
    falling = torch.tensor([[2.0, 1.5, 1.0, 0.5, 0.3]])
    assert rise(falling).item() == 0
    # The third step rises by 0.25 of 2, the last falls by 0.01 of 2, which is 0.04 less than it should.
    uneven = torch.tensor([[2.0, 1.5, 1.0, 1.25, 1.23]], dtype=torch.float64, requires_grad=True)
    loss = rise(uneven)
    assert loss.item() == pytest.approx((0.125 + 0.05 + 0.04) / 4)
    loss.backward()
    assert uneven.grad is not None
    assert (uneven.grad[0].sign() == torch.tensor([0, 0, -1, 0, 1])).all()
