"""Image folders, the held-out split and the cache of teacher pairs."""

import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

CONTENT_SIZE = 384
STYLE_SIZE = 512
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def image_files(folder: Path) -> list[Path]:
    """Image files of a folder, sorted by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)


def split_held_out(files: list[Path], every: int, always: set[str]) -> tuple[list[Path], list[Path]]:
    """Files for training and files that training must never see: every ``every``-th, and those whose stem is in ``always``."""
    held_out = [path for index, path in enumerate(files) if index % every == 0 or path.stem in always]
    return [path for path in files if path not in held_out], held_out


def load_square(path: Path, size: int, generator: np.random.Generator | None = None) -> np.ndarray:
    """A square crop of an image as (size, size, 3) uint8: the centre, or a random one of at least 70% of the short side."""
    with Image.open(path) as image:
        picture = ImageOps.exif_transpose(image).convert("RGB")
    short = min(picture.size)
    side, left_share, top_share = short, 0.5, 0.5
    if generator is not None:
        side = int(short * generator.uniform(0.7, 1.0))
        left_share, top_share = generator.uniform(size=2)
    left, top = int((picture.width - side) * left_share), int((picture.height - side) * top_share)
    return np.asarray(picture.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.LANCZOS))


@dataclass(frozen=True)
class PairCache:
    """Teacher pairs as memory-mapped arrays: ``targets[i]`` is ``contents[content_of[i]]`` in the style ``styles[style_of[i]]``."""

    contents: np.ndarray  # (C, 384, 384, 3) uint8
    styles: np.ndarray  # (S, 512, 512, 3) uint8
    vectors: np.ndarray  # (S, 100) float32, the teacher's style vectors
    targets: np.ndarray  # (P, 384, 384, 3) uint8
    content_of: np.ndarray  # (P,) int64
    style_of: np.ndarray  # (P,) int64

    @classmethod
    def load(cls, folder: Path) -> "PairCache":
        index = json.loads((folder / "index.json").read_text())
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("contents", "styles", "vectors", "targets")}
        pairs = np.asarray(index["pairs"], dtype=np.int64)
        return cls(**arrays, style_of=pairs[:, 0], content_of=pairs[:, 1])


def build_pairs(photos: list[Path], artworks: list[Path], folder: Path, pairs_per_style: int, crops: int, seed: int) -> PairCache:
    """Runs the teacher over photo x style pairs and caches them in ``folder``; returns at once if the cache is complete."""
    if (folder / "index.json").exists():
        return PairCache.load(folder)
    from .teacher import Teacher  # the training extra

    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    teacher = Teacher()
    contents = [load_square(path, CONTENT_SIZE, generator) for path in photos for _ in range(crops)]
    np.save(folder / "contents.npy", np.stack(contents))
    styles: list[np.ndarray] = []
    for path in artworks:
        # Channel permutations of a painting are paintings in other palettes.
        orders = list(itertools.permutations(range(3)))
        for order in [orders[0], *(orders[i] for i in generator.permutation(range(1, 6))[:4])]:
            styles.append(load_square(path, STYLE_SIZE, generator)[..., list(order)])
    styles += [load_square(path, STYLE_SIZE, generator) for path in photos[::3]]
    np.save(folder / "styles.npy", np.stack(styles))
    vectors = np.concatenate([teacher.style_vector(style) for style in styles])
    np.save(folder / "vectors.npy", vectors)
    total = len(styles) * pairs_per_style
    targets = np.lib.format.open_memmap(folder / "targets.npy", mode="w+", dtype=np.uint8, shape=(total, CONTENT_SIZE, CONTENT_SIZE, 3))
    pairs: list[tuple[int, int]] = []
    for position in range(total):
        style, content = position % len(styles), int(generator.integers(len(contents)))
        targets[position] = teacher.stylize(contents[content], vectors[style : style + 1])
        pairs.append((style, content))
        if position % 200 == 0:
            print(f"teacher pairs {position}/{total}", flush=True)
    targets.flush()
    (folder / "index.json").write_text(json.dumps({"pairs": pairs}))
    return PairCache.load(folder)


def to_tensor(images: np.ndarray) -> Tensor:
    """(N, H, W, 3) uint8 -> (N, 3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
