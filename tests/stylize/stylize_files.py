"""Where the files of these tests are."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
CHECKPOINT = ROOT / "checkpoints/instantstyle-12m.safetensors"
PHOTOS = ROOT / "samples/validation/photos"
STYLE = ROOT / "samples/validation/styles/gc_Gogh4.jpg"
