"""``make pictures``: docs/samples.jpg, the validation photos in the validation styles, docs/mobile.jpg, the same by the pruned network,
and docs/teacher.jpg, the same by the teacher.

Top row: the artworks. Each further row: a photo, and what becomes of it in each style at 512x512 (the teacher: at its 384x384).
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from instantstyle.calibration.images import load_image, to_array, to_image
from instantstyle.stylize.network_engine import NetworkEngine
from instantstyle.training.images import load_square
from instantstyle.training.sizes import CONTENT_SIZE, STYLE_SIZE
from instantstyle.training.teacher import Teacher

# A face with writing, a night, clouds, fruit on white, a plain sky.
PHOTOS = ("sk_astronaut", "sk_rocket", "es_city3", "palapeli_citrus-fruits", "gc_mon_statueofLiberty")
SAMPLES = Path("samples/validation")
# Besides the styles of samples/validation: an artwork that the checkpoint's training held out as well.
FIFTH_STYLE = Path("samples/calibration/styles/gc_Eglise_dAuvers-sur-Oise.jpg")
SIZE, CELL = (512, 512), 192


def main() -> None:
    """Exit code 2 through ``InstantStyleError`` is left to the commands; here a traceback serves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/instantstyle-paint.safetensors"))
    parser.add_argument("--mobile", type=Path, default=Path("checkpoints/instantstyle-mobile.safetensors"))
    parser.add_argument("--out", type=Path, default=Path("docs"))
    options = parser.parse_args()
    styles = [FIFTH_STYLE, *sorted((SAMPLES / "styles").glob("*.jpg"))]
    photos = [SAMPLES / "photos" / f"{name}.jpg" for name in PHOTOS]
    sheet(options.out / "samples.jpg", photos, styles, by_network(options.checkpoint, photos, styles))
    sheet(options.out / "mobile.jpg", photos, styles, by_network(options.mobile, photos, styles))
    sheet(options.out / "teacher.jpg", photos, styles, by_teacher(photos, styles))


def by_network(checkpoint: Path, photos: list[Path], styles: list[Path]) -> list[list[Image.Image]]:
    """A row for each photo."""
    engine = NetworkEngine.load(checkpoint)
    codes = [engine.code(load_image(style)) for style in styles]
    arrays = [to_array(load_image(photo), SIZE) for photo in photos]
    return [[to_image(engine.paint(array, code, 1.0, lambda *_: None)) for code in codes] for array in arrays]


def by_teacher(photos: list[Path], styles: list[Path]) -> list[list[Image.Image]]:
    """A row for each photo."""
    teacher = Teacher()
    vectors = [teacher.style_vector(load_square(style, STYLE_SIZE)) for style in styles]
    squares = [load_square(photo, CONTENT_SIZE) for photo in photos]
    return [[Image.fromarray(teacher.stylize(square, vector)) for vector in vectors] for square in squares]


def sheet(out: Path, photos: list[Path], styles: list[Path], painted: list[list[Image.Image]]) -> None:
    """Writes one picture of everything."""
    blank = Image.fromarray(np.full((*SIZE, 3), 255, np.uint8))
    top = [blank, *(to_image(to_array(load_image(style), SIZE)) for style in styles)]
    rows = [top, *([to_image(to_array(load_image(photo), SIZE)), *row] for photo, row in zip(photos, painted, strict=True))]
    picture = Image.new("RGB", (CELL * len(top), CELL * len(rows)), "white")
    for y, row in enumerate(rows):
        for x, cell in enumerate(row):
            picture.paste(cell.resize((CELL, CELL), Image.Resampling.LANCZOS), (x * CELL, y * CELL))
    picture.save(out, quality=82, optimize=True)
    print(f"{out}: {len(photos)} photos x {len(styles)} styles")


if __name__ == "__main__":
    main()
