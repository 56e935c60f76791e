"""How checkpoints/instantstyle-mobile.safetensors was made of what `instantstyle prune` gave: its content encoder, equalised.

    python benchmarks/equalise.py PRUNED.safetensors OUT.safetensors

An int8 tensor has one grid for all channels, so that the loudest of them decides how coarse the others are: in the stem they reach from
1 to 14. Cross-layer equalisation (Nagel et al. 2019, arXiv:1906.04721): a layer's channels are multiplied by factors that the layers that
read them are divided by. A ReLU and max pooling in between keep them, so that the float network stays the same.
"""

import argparse
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn

from instantstyle.calibration.imageset import ImageSet
from instantstyle.calibration.samples import make_samples
from instantstyle.model.checkpoint import load_checkpoint, read_metadata, read_tensors, save_tensors
from instantstyle.model.content_encoder import ContentEncoder
from instantstyle.model.network import InstantStyle
from instantstyle.model.reference import to_model

SAMPLES, SIZE = 6, (512, 512)
# Between 0, nothing, and 1, where quiet channels' weights are lost instead.
EXPONENT, LARGEST = 0.65, 8.0
QUANTILE, EVERY = 0.9995, 7  # of a channel's numbers, of which every seventh tells


def readers_of(encoder: ContentEncoder, skip: str) -> dict[str, list[str]]:
    """The convolutions that read each norm's result through a ReLU, by the norm's path in the stylizer."""
    found = {"bn1": ["layer1.0.conv1", "layer1.0.downsample.0"]}
    for layer in ("layer1", "layer2"):
        for block in range(len(encoder.get_submodule(layer))):  # type: ignore[arg-type]
            for number in (1, 2):
                found[f"{layer}.{block}.bn{number}"] = [f"{layer}.{block}.conv{number + 1}"]
    paths = {f"content_encoder.{norm}": [f"content_encoder.{path}" for path in read] for norm, read in found.items()}
    paths["content_encoder.bn1"].append(skip)
    return paths


@torch.no_grad()
def equalise(network: InstantStyle, photos: Sequence[Tensor]) -> None:
    """Changes a network in place.

    Args:
        photos: (1, 3, H, W) in [-1, 1], on which the channels' ranges are seen.
    """
    stylizer = network.stylizer.eval()
    for norm, readers in readers_of(stylizer.content_encoder, "decoder.skip_half").items():
        factors = _factors(_loudness(stylizer.content_encoder, stylizer.get_submodule(norm), photos))
        for parameter in stylizer.get_submodule(norm).parameters():
            parameter *= factors
        for path in readers:
            weight: Tensor = stylizer.get_submodule(path).weight  # type: ignore[assignment]
            weight /= factors[:, None, None]


def _factors(loudness: Tensor) -> Tensor:
    return (loudness.max() / loudness).pow(EXPONENT).clamp(max=LARGEST)


def _loudness(encoder: ContentEncoder, norm: nn.Module, photos: Sequence[Tensor]) -> Tensor:
    """(C,): nearly the largest number of each channel behind the ReLU."""
    seen: list[Tensor] = []
    hook = norm.register_forward_hook(lambda _module, _inputs, output: seen.append(output.relu().transpose(0, 1).flatten(1)))
    try:
        for photo in photos:
            encoder(photo)
    finally:
        hook.remove()
    return torch.stack([torch.quantile(each[:, ::EVERY], QUANTILE, dim=1) for each in seen]).amax(0).clamp(min=1e-3)


def rewrite(source: Path, out: Path, tensors: Mapping[str, Tensor]) -> None:
    """The checkpoint with other numbers, in half precision as ``prune`` writes it, and with all else that it says."""
    save_tensors({name: tensors[name] for name in read_tensors(source)}, out, read_metadata(source), half=True)


def main() -> None:
    """A traceback serves here."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pruned", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--samples", type=Path, default=Path("samples/calibration"))
    options = parser.parse_args()
    network = load_checkpoint(options.pruned)
    images = [ImageSet.from_patterns([str(options.samples / kind)], Path()) for kind in ("photos", "styles")]
    drawn = islice(make_samples(to_model(network), SIZE, images, "cycle"), SAMPLES)
    equalise(network, [torch.from_numpy(sample.inputs["photo"]) for sample in drawn])
    rewrite(options.pruned, options.out, network.state_dict())


if __name__ == "__main__":
    main()
