"""The cache of teacher pairs: photos, style images and what the teacher makes of them."""

import itertools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..system.disk import atomic_write
from ..system.hashing import file_sha256
from .images import load_square, recolour, to_tensor
from .recipe import DataSettings
from .rows import FLUSH_EVERY, Rows
from .sizes import CONTENT_SIZE, STYLE_SIZE
from .sky import sky

if TYPE_CHECKING:
    from .teacher import Teacher

SEED = 0
VECTOR = 100
PLAN = {"crops_per_photo", "variants_per_artwork", "photo_styles", "pairs_per_style", "painted_styles"}
# In the fingerprint only where it is used: older caches were made without.
LATER_PLAN = {"skies"}


@dataclass(frozen=True)
class PairCache:
    """Teacher pairs as memory-mapped arrays: ``targets[i]`` is ``contents[content_of[i]]`` in the style ``styles[style_of[i]]``.

    Some of the teacher's own pictures are style images as well, for the style encoder to learn from: style ``len(styles) + k`` is
    ``targets[painted[k]]``.
    """

    folder: Path
    contents: np.ndarray  # (C, 384, 384, 3) uint8
    styles: np.ndarray  # (S, 512, 512, 3) uint8
    vectors: np.ndarray  # (S + K, 100) float32, the teacher's style vectors
    targets: Rows  # (P, 384, 384, 3) uint8
    content_of: np.ndarray  # (P,) int64
    style_of: np.ndarray  # (P,) int64
    painted: np.ndarray  # (K,) int64

    @property
    def style_count(self) -> int:
        """Style images, the painted ones included."""
        return len(self.vectors)

    def style_images(self, indices: np.ndarray) -> Tensor:
        """Style images (N, 3, 512, 512) in [-1, 1]."""
        return torch.cat([self._style_image(int(index)) for index in indices])

    def _style_image(self, index: int) -> Tensor:
        if index < len(self.styles):
            return to_tensor(self.styles[index : index + 1])
        picture = to_tensor(self.targets[self.painted[index - len(self.styles)]][None])
        return functional.interpolate(picture, (STYLE_SIZE, STYLE_SIZE), mode="bicubic", antialias=True).clamp(-1, 1)


Say = Callable[[str, int, int], None]


def fill(
    path: Path, shape: tuple[int, ...], *, dtype: type, make: Callable[[int], np.ndarray], say: Say, rows: int | None = None
) -> np.ndarray:
    """Fills an array row by row, or its first ``rows``; a killed run goes on at the last row that is known to be on disk."""
    count, mark = shape[0] if rows is None else rows, path.with_suffix(".done")
    if not path.exists():
        mark.unlink(missing_ok=True)
    if shape[0] == 0:
        return np.empty(shape, dtype)
    done = int(mark.read_text()) if mark.exists() else 0
    array = np.lib.format.open_memmap(path, mode="r+" if done else "w+", dtype=dtype, shape=None if done else shape)
    for index in range(done, count):
        array[index] = make(index)
        if (index + 1) % FLUSH_EVERY == 0 or index == count - 1:
            array.flush()
            atomic_write(mark, str(index + 1).encode())
            say(path.stem, index + 1, count)
    return array


def fingerprint(photos: Iterable[Path], artworks: Iterable[Path], data: DataSettings) -> str:
    """Twelve hexadecimal digits that change with the files, their order and the settings of the pairs."""
    files = [file_sha256(path) for path in itertools.chain(photos, artworks)]
    plan = data.model_dump(include=PLAN) | {name: value for name, value in data.model_dump(include=LATER_PLAN).items() if value}
    return sha256(json.dumps([files, plan]).encode()).hexdigest()[:12]


def build_pairs(photos: list[Path], artworks: list[Path], folder: Path, data: DataSettings, say: Say) -> PairCache:
    """Runs the teacher over photo x style pairs and caches them in ``folder``.

    A killed run continues where it stopped; a complete cache of the same files and settings is used as it is, without the teacher.
    """
    folder = folder / fingerprint(photos, artworks, data)
    folder.mkdir(parents=True, exist_ok=True)

    @cache
    def teacher() -> "Teacher":
        from .teacher import Teacher  # the training extra

        return Teacher(torch.get_num_threads())

    def random(*key: int) -> np.random.Generator:
        return np.random.default_rng((SEED, *key))

    crops = len(photos) * data.crops_per_photo

    def content(index: int) -> np.ndarray:
        generator = random(0, index)
        if index < crops:
            return load_square(photos[index // data.crops_per_photo], CONTENT_SIZE, generator)
        return sky(load_square(photos[generator.integers(len(photos))], CONTENT_SIZE, generator), generator)

    photo_styles = photos[:: data.photo_styles] if data.photo_styles else []
    variants = [(path, variant) for path in artworks for variant in range(data.variants_per_artwork)]
    variants += [(path, 1) for path in photo_styles]

    def style(index: int) -> np.ndarray:
        path, variant = variants[index]
        if variant == 0:
            return load_square(path, STYLE_SIZE)
        generator = random(1, index)
        pixels = load_square(path, STYLE_SIZE, generator, smallest=0.5)
        return recolour(pixels, generator) if generator.random() < 0.8 else pixels

    contents = fill(folder / "contents.npy", (crops + data.skies, CONTENT_SIZE, CONTENT_SIZE, 3), dtype=np.uint8, make=content, say=say)
    styles = fill(folder / "styles.npy", (len(variants), STYLE_SIZE, STYLE_SIZE, 3), dtype=np.uint8, make=style, say=say)
    own = fill(
        folder / "style_vectors.npy",
        (len(styles), VECTOR),
        dtype=np.float32,
        make=lambda index: teacher().style_vector(styles[index])[0],
        say=say,
    )
    style_of = np.repeat(np.arange(len(variants)), data.pairs_per_style)
    content_of = random(2).integers(len(contents), size=len(style_of))

    def target(index: int) -> np.ndarray:
        return teacher().stylize(contents[content_of[index]], own[style_of[index]][None])

    targets = Rows(folder / "targets.npy", (len(style_of), CONTENT_SIZE, CONTENT_SIZE, 3), np.uint8, target)
    if not data.lazy:
        targets.make_all(lambda done, total: say("targets", done, total))
    painted = np.arange(0, len(targets), data.painted_styles) if data.painted_styles else np.arange(0)
    of_painted = fill(
        folder / "painted_vectors.npy",
        (len(painted), VECTOR),
        dtype=np.float32,
        make=lambda index: teacher().style_vector(targets[painted[index]])[0],
        say=say,
    )
    return PairCache(folder, contents, styles, np.concatenate((own, of_painted)), targets, content_of, style_of, painted)
