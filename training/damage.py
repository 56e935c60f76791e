"""What photos suffer before they reach a phone's gallery: compression, noise, banding, blur, a smaller size in between.

The stylizer learns to paint a damaged photo as the teacher paints the clean one.
"""

import io

import numpy as np
from PIL import Image, ImageFilter

JPEG_QUALITIES = (20, 90)
JPEG_BLOCK = 16  # of 4:2:0; 8 otherwise
SUBSAMPLINGS = (0, 2)  # 4:4:4 and 4:2:0, as Pillow numbers them


def damage(pixels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """One to three kinds of damage, (H, W, 3) uint8, both ways; two times out of three the last is compression."""
    kinds = [kind for kind in (blur, resample, noise, band) if generator.random() < 0.25]
    if not kinds or generator.random() < 0.55:
        kinds.append(compress)
    for kind in kinds[-3:]:
        pixels = kind(pixels, generator)
    return pixels


def compress(pixels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """JPEG of any quality from 20 to 90, with and without chroma subsampling; its grid of blocks starts anywhere."""
    quality, subsampling = int(generator.integers(*JPEG_QUALITIES)), int(generator.choice(SUBSAMPLINGS))
    top, left = generator.integers(JPEG_BLOCK, size=2)
    height, width = pixels.shape[:2]
    shifted = np.pad(pixels, ((top, 0), (left, 0), (0, 0)), mode="edge")
    buffer = io.BytesIO()
    Image.fromarray(shifted).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(buffer))[top : top + height, left : left + width]


def noise(pixels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A sensor's: of deviation 1 to 12, each colour by itself, at times coarser than a pixel."""
    height, width = pixels.shape[:2]
    grain = generator.normal(0, generator.uniform(1, 12), pixels.shape)
    if generator.random() < 0.3:
        coarse = grain[: -(-height // 2), : -(-width // 2)]
        grain = coarse.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
    return (pixels + grain).clip(0, 255).round().astype(np.uint8)


def band(pixels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Fewer levels: 16 to 64 of each colour."""
    step = 255 / (int(generator.integers(16, 65)) - 1)
    return (np.round(pixels / step) * step).round().astype(np.uint8)


def blur(pixels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Out of focus: Gaussian, of deviation 0.4 to 1.2 pixels."""
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(generator.uniform(0.4, 1.2))))


def resample(pixels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Saved at 0.5 to 0.9 of its size and enlarged again."""
    height, width = pixels.shape[:2]
    scale = generator.uniform(0.5, 0.9)
    filters = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
    smaller, larger = generator.choice(3, size=2)
    small = Image.fromarray(pixels).resize((round(width * scale), round(height * scale)), filters[smaller])
    return np.asarray(small.resize((width, height), filters[larger]))
