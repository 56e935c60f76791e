"""Starting the content encoder from torchvision's ImageNet weights of ResNet-50."""

from pathlib import Path

import torch

from .checkpoint import load_tensors, read_tensors
from .content_encoder import ContentEncoder

# torchvision scales images to [0, 1] and normalises them so.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


def load_content_weights(encoder: ContentEncoder, path: Path) -> None:
    """Loads a state dict of torchvision's ``resnet50``, of which ``layer3``, ``layer4`` and ``fc`` are left over.

    torchvision's normalisation of the input is folded into the first convolution and its batch norm, so that the encoder computes the same
    features from images in [-1, 1]; only where zero padding reaches, 3 pixels at the border, they differ.

    Args:
        encoder: of ResNet-50's widths.
        path: safetensors, or a ``.pt``/``.pth`` state dict.

    Raises:
        CheckpointError: missing, damaged, or tensors that are missing or do not fit.
    """
    # ``num_batches_tracked`` is missing in old files and of no use here.
    wanted = {name for name in encoder.state_dict() if not name.endswith("num_batches_tracked")}
    tensors = {name: value.float() for name, value in read_tensors(path).items() if name in wanted}
    tensors |= {name: value for name, value in encoder.state_dict().items() if name not in wanted}
    load_tensors(encoder, tensors, path)
    mean, deviation = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_DEVIATION)
    with torch.no_grad():
        weight = encoder.conv1.weight
        # With x in [-1, 1], torchvision's input is x * 0.5 / deviation + (0.5 - mean) / deviation.
        offset = torch.einsum("oihw,i->o", weight, (0.5 - mean) / deviation)
        assert encoder.bn1.running_mean is not None
        encoder.bn1.running_mean -= offset
        weight *= (0.5 / deviation)[None, :, None, None]
