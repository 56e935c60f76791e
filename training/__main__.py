"""``python -m instantstyle.training``: teacher pairs, training, checkpoint. A killed run continues when started again."""

import argparse
from pathlib import Path

import torch

from ..model.checkpoint import save_checkpoint
from ..model.network import InstantStyle
from .data import build_pairs, image_files, split_held_out
from .train import Trainer, TrainingOptions


def main() -> None:
    """Parses the arguments and runs the three steps."""
    parser = argparse.ArgumentParser(prog="python -m instantstyle.training", description=__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos")
    parser.add_argument("--artworks", type=Path, required=True, help="folder of artworks")
    parser.add_argument("--samples", type=Path, default=Path("samples/validation"), help="images with these names are held out of training")
    parser.add_argument("--run", type=Path, default=Path("runs/12m"), help="folder of the pairs, the state and the metrics")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("checkpoints/instantstyle-12m.safetensors"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    samples = {path.stem for path in arguments.samples.rglob("*.jpg")}
    photos, _ = split_held_out(image_files(arguments.photos), 16, samples)
    artworks, _ = split_held_out(image_files(arguments.artworks), 8, samples)
    build_pairs(photos, artworks, arguments.run / "pairs", pairs_per_style=9, crops=3, seed=0)
    trainer = Trainer(TrainingOptions(arguments.run / "pairs", arguments.run, arguments.steps))
    trainer.run()
    network = InstantStyle(trainer.network.config)
    network.load_state_dict(trainer.average)
    save_checkpoint(network, arguments.out, half=True)
    print(f"wrote {arguments.out}: the moving average of the weights after {trainer.step} steps")


if __name__ == "__main__":
    main()
