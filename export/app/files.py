"""Puts what an app needs into a bundle: ``app/<artifact>/model.json``, ``app/styles/``, and the code that runs it."""

import json
from pathlib import Path, PurePosixPath

from ...model.graph import Model
from ...recipe.limits import Limits
from ...targets.base import Artifact
from ..cache.store import Entry
from .description import FILE as MODEL_FILE
from .description import description
from .styles import FILE as STYLES_FILE
from .styles import SUFFIX

APP, STYLES = "app", "app/styles"
HERE = Path(__file__).parent
_KOTLIN = ("Golden.kt", "InstantStyle.kt", "Network.kt", "Pictures.kt", "Tiles.kt", "Tone.kt")
_FILES = {
    "android": ("android", (*_KOTLIN, "OnnxRuntime.kt")),
    "litert": ("android", (*_KOTLIN, "LiteRt.kt")),
    "coreml": ("apple", ("Golden.swift", "Images.swift", "Pictures.swift", "StylePainter.swift", "Tiles.swift", "Tone.swift")),
}


def code_of(target: str) -> tuple[str, ...]:
    """The files that an app of a target compiles, by their paths in the bundle; in this package they lie alike without ``app/``."""
    folder, names = _FILES.get(target, ("", ()))
    return tuple(f"{APP}/{folder}/{name}" for name in names)


def app_files(model: Model, artifacts: list[tuple[Artifact, Limits]], styles: Entry | None) -> dict[str, bytes]:
    """Content by path in the bundle."""
    names: list[str] = json.loads((styles.folder / STYLES_FILE).read_text()) if styles else []
    files = {f"{STYLES}/{name}{SUFFIX}": (styles.folder / f"{name}{SUFFIX}").read_bytes() for name in names} if styles else {}
    for artifact, limits in artifacts:
        files[f"{APP}/{artifact.name}/{MODEL_FILE}"] = description(model, artifact, limits, names).encode()
        files |= {path: (HERE / PurePosixPath(path).relative_to(APP)).read_bytes() for path in code_of(artifact.target)}
    return files
