"""What the demo serves: a fixed table from addresses to bytes, read once, so that nothing else can be asked for or change meanwhile."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...calibration.images import load_image
from ...export.app.description import FILE as MODEL_FILE
from ...export.app.files import APP, STYLES
from ...recipe.precision import Precision
from ...recipe.shipped import ROOT
from ...stylize.plan import Plan, plan
from ...system.errors import ArtifactError, ImageError, TargetUnavailableError
from ...system.host import core_count
from ...targets.artifact import read_manifest
from ...targets.web import runtime
from ...validation.integrity import verify
from ...validation.results.bundle import Bundle, BundleArtifact
from ...validation.results.bundle_file import read_bundle

TARGET = "web"
PAGE = Path(__file__).parent / "page"
LIBRARY = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
SAMPLES = ROOT / "samples" / "validation"
# What browsers show of what Pillow reads.
PICTURES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".avif": "image/avif",
}


@dataclass(frozen=True)
class Contents:
    """What a browser can ask for.

    Attributes:
        artifact: its name.
        files: content by address, which begins with a slash.
    """

    artifact: str
    files: Mapping[str, bytes]


def contents(dist: Path, artifact: str | None = None, styles: Sequence[Path] = ()) -> Contents:
    """The page, onnxruntime-web, one web artifact of a bundle, what an app gets with it, and pictures to try.

    Args:
        dist: the bundle.
        artifact: the beginning of the artifact's name; by default int8 is taken where there is one.
        styles: artworks to choose from besides the bundle's style codes. A bundle without codes gets the package's own.

    Raises:
        TargetUnavailableError: onnxruntime-web is not installed.
        ArtifactError: no bundle, an altered one, or none with such an artifact; one that paints no photo in one style.
        ImageError: a style cannot be read, or not by browsers.
    """
    library = runtime.library()
    if library is None:
        raise TargetUnavailableError(f"the demo needs {runtime.PACKAGE} {runtime.VERSION}, not installed here: {runtime.INSTALL}")
    bundle = read_bundle(dist)
    verify(bundle, dist)
    chosen = _choose(bundle, dist, artifact)
    manifest = read_manifest(dist / chosen.folder)
    chain = plan(manifest, dist / chosen.folder)
    if len(chain.styles) > 1:
        names = ", ".join(spec.name for spec in chain.styles)
        raise ArtifactError(f"{dist / chosen.folder} takes {names} besides the photo; the page offers one style: use instantstyle apply")
    described = (dist / APP / chosen.name / MODEL_FILE).read_bytes()
    shown = [*styles, *(_pictures("styles") if chain.styles and not json.loads(described)["styles"] and not styles else ())]
    files = {f"/runtime/{name}": (library / name).read_bytes() for name in LIBRARY}
    files |= {f"/{path.name}": path.read_bytes() for path in PAGE.iterdir()}
    files |= {f"/{TARGET}/{graph.file}": (dist / chosen.folder / graph.file).read_bytes() for graph in manifest.graphs}
    files |= {f"/app/{MODEL_FILE}": described} | {f"/{STYLES}/{path.name}": path.read_bytes() for path in (dist / STYLES).glob("*")}
    page = _described(bundle, chosen, chain)
    for kind, paths in (("photos", _pictures("photos")), ("artworks", shown)):
        found = {f"/{kind}/{index}{path.suffix.lower()}": path for index, path in enumerate(paths)}
        files |= {address: _picture(path) for address, path in found.items()}
        page[kind] = [{"name": path.stem, "url": address.removeprefix("/")} for address, path in found.items()]
    return Contents(chosen.name, files | {"/": files["/index.html"], "/demo.json": json.dumps(page).encode()})


def _choose(bundle: Bundle, dist: Path, wanted: str | None) -> BundleArtifact:
    found = [each for each in bundle.artifacts if each.target == TARGET]
    if not found:
        line = f'{TARGET} = ["{Precision.INT8}"]'
        raise ArtifactError(
            f"{dist} has no artifact of the target {TARGET}: add {line} to [targets.build] of the recipe, and release it again"
        )
    named = [each for each in found if each.name.startswith(wanted or "")]
    if not named:
        raise ArtifactError(f"{dist}: no artifact '{wanted}' of the target {TARGET}; there are {', '.join(each.name for each in found)}")
    made = [each for each in named if each.folder]
    if not made:
        raise ArtifactError(f"{dist}: {named[0].name} was not made: {named[0].reason or named[0].status}")
    return next((each for each in made if each.precision is Precision.INT8), made[0])


def _described(bundle: Bundle, artifact: BundleArtifact, chain: Plan) -> dict[str, object]:
    """What the page has to know besides ``model.json``: names of tensors as in ``plan``, and what to say."""
    return {
        "name": bundle.model.name,
        "artifact": artifact.name,
        "status": str(artifact.status),
        "runtime": f"{runtime.PACKAGE} {runtime.VERSION}",
        "threads": core_count(),
        "photo": chain.photo.name,
        "style": chain.styles[0].name if chain.styles else None,
        "scalars": [spec.name for spec in chain.scalars],
        "picture": chain.picture.name,
        "factor": chain.factor,
    }


def _pictures(kind: str) -> list[Path]:
    return sorted((SAMPLES / kind).iterdir())


def _picture(path: Path) -> bytes:
    if path.suffix.lower() not in PICTURES:
        raise ImageError(f"{path}: browsers show {', '.join(suffix[1:] for suffix in PICTURES)}; convert it to one of these")
    load_image(path)
    return path.read_bytes()
