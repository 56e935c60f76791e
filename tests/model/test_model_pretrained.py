from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from instantstyle.model.content_encoder import ContentEncoder
from instantstyle.model.pretrained import IMAGENET_DEVIATION, IMAGENET_MEAN, load_content_weights
from instantstyle.system.errors import CheckpointError


def trained_encoder() -> ContentEncoder:
    """ResNet-50's first half with statistics that are not 0 and 1, as training leaves them."""
    torch.manual_seed(1)
    encoder = ContentEncoder(64, (64, 128)).eval()
    for name, value in encoder.state_dict().items():
        if name.endswith(("running_mean", "bn1.bias")):
            value.normal_(std=0.3)
        if name.endswith("running_var"):
            value.uniform_(0.5, 2.0)
    return encoder


def test_features_are_those_of_torchvision_on_its_own_scale(tmp_path: Path) -> None:
    """The weights as they are on normalised images, against the loaded encoder on images in [-1, 1]; only the border differs."""
    original = trained_encoder()
    left_over = {"layer3.0.conv1.weight": torch.zeros(4), "fc.weight": torch.zeros(4)}
    save_file({**original.state_dict(), **left_over}, tmp_path / "resnet50.safetensors")
    loaded = ContentEncoder(64, (64, 128)).eval()
    load_content_weights(loaded, tmp_path / "resnet50.safetensors")
    photo = torch.rand(1, 3, 64, 64) * 2 - 1
    mean, deviation = (torch.tensor(values)[None, :, None, None] for values in (IMAGENET_MEAN, IMAGENET_DEVIATION))
    with torch.no_grad():
        wanted, found = original(((photo + 1) / 2 - mean) / deviation), loaded(photo)
        naive = original(photo)
    inner = (..., slice(4, -4), slice(4, -4))
    assert torch.allclose(found.half[inner], wanted.half[inner], atol=1e-4)
    assert not torch.allclose(naive.half[inner], wanted.half[inner], atol=1e-1)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    save_file({"conv1.weight": torch.zeros(64, 3, 7, 7), "fc.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=r"other.safetensors does not fit.*\n.*missing from the file"):
        load_content_weights(ContentEncoder(64, (64, 128)), tmp_path / "other.safetensors")
