"""``make pictures``: docs/samples.jpg, the validation photos in the validation styles, by the Android artifact in ``dist``.

Top row: the artworks. Each further row: a photo, and what the ``.ort`` files make of it in each style.
"""

import argparse
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from PIL import Image

from instantstyle.calibration.images import load_image, to_array, to_image
from instantstyle.model.reference import STYLE_ENCODER, STYLIZER, scenario
from instantstyle.targets.artifact import read_manifest, verify
from instantstyle.targets.registry import get_target

PHOTOS = ("sk_astronaut", "gc_mon_neuschwansteinCastle", "sk_chelsea", "gc_ani_giraffe", "es_mountain1")
# Besides the styles of samples/validation: an artwork that the checkpoint's training held out as well.
FIFTH_STYLE = Path("samples/calibration/styles/gc_Eglise_dAuvers-sur-Oise.jpg")
CELL = 192


def main() -> None:
    """Exit code 2 through ``InstantStyleError`` is left to the commands; here a traceback serves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact", type=Path, nargs="?", default=Path("dist/android/int8-512x512"))
    parser.add_argument("--samples", type=Path, default=Path("samples/validation"))
    parser.add_argument("--out", type=Path, default=Path("docs/samples.jpg"))
    options = parser.parse_args()
    artifact = read_manifest(options.artifact)
    verify(artifact, options.artifact)
    styles = [to_array(load_image(path), artifact.size) for path in (FIFTH_STYLE, *sorted((options.samples / "styles").glob("*.jpg")))]
    photos = [to_array(load_image(options.samples / "photos" / f"{name}.jpg"), artifact.size) for name in PHOTOS]
    blank = np.ones_like(photos[0])
    rows = [[blank, *styles]]
    with ExitStack() as stack:
        target = get_target(artifact.target)
        runs = {
            graph: stack.enter_context(target.open(artifact, options.artifact, graph, threads=2)).run for graph in (STYLE_ENCODER, STYLIZER)
        }
        full = np.ones((1, 1), np.float32)
        for photo in photos:
            rows.append([photo, *(scenario(runs, {"photo": photo, "style": style, "alpha": full}) for style in styles)])
    sheet = Image.new("RGB", (CELL * len(rows[0]), CELL * len(rows)), "white")
    for top, row in enumerate(rows):
        for left, picture in enumerate(row):
            sheet.paste(to_image(picture).resize((CELL, CELL), Image.Resampling.LANCZOS), (left * CELL, top * CELL))
    sheet.save(options.out, quality=82, optimize=True)
    print(f"{options.out}: {len(photos)} photos x {len(styles)} styles by {artifact.name}")


if __name__ == "__main__":
    main()
