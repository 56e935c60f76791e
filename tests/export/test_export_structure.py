"""SSIM as a loss against scikit-image."""

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity as witness

from instantstyle.metrics.ssim_loss import structural_similarity


@pytest.mark.parametrize(("minimum", "maximum"), [(-1.0, 1.0), (0.0, 1.0)])
@pytest.mark.parametrize("noise", [0.0, 0.05, 0.5])
def test_agrees_with_scikit_image(minimum: float, maximum: float, noise: float) -> None:
    random = np.random.default_rng(0)
    wanted = random.uniform(minimum, maximum, (2, 3, 24, 31)).astype(np.float32)
    image = (wanted + noise * random.standard_normal(wanted.shape)).astype(np.float32)
    got = structural_similarity(torch.from_numpy(image), torch.from_numpy(wanted), minimum, maximum).item()
    # Their mean leaves out a border of five pixels, where the window does not fit, as ours does.
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": maximum - minimum, "channel_axis": 0}
    pairs = zip(image - minimum, wanted - minimum, strict=True)
    expected = np.mean([witness(a.astype(np.float64), b.astype(np.float64), **settings) for a, b in pairs])
    assert got == pytest.approx(float(expected), abs=2e-5)


def test_gradient_leads_to_the_wanted_picture() -> None:
    torch.manual_seed(0)
    wanted = torch.rand(1, 3, 16, 16)
    image = torch.rand(1, 3, 16, 16, requires_grad=True)
    optimizer = torch.optim.Adam([image], lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        (1 - structural_similarity(image, wanted, 0, 1)).backward()
        optimizer.step()
    assert structural_similarity(image, wanted, 0, 1).item() > 0.95
