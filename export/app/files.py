"""Puts what an app needs into a bundle: ``app/<artifact>/model.json``, ``app/styles/``, and for Android the code that runs it."""

import json
from pathlib import Path

from ...model.graph import Model
from ...recipe.limits import Limits
from ...targets.base import Artifact
from ..cache.store import Entry
from .description import FILE as MODEL_FILE
from .description import description
from .styles import FILE as STYLES_FILE
from .styles import SUFFIX

APP, STYLES, ANDROID = "app", "app/styles", "app/android"
ANDROID_TARGET = "android"
KOTLIN = Path(__file__).parent / "InstantStyle.kt"


def app_files(model: Model, artifacts: list[tuple[Artifact, Limits]], styles: Entry | None) -> dict[str, bytes]:
    """Content by path in the bundle."""
    names: list[str] = json.loads((styles.folder / STYLES_FILE).read_text()) if styles else []
    files = {f"{STYLES}/{name}{SUFFIX}": (styles.folder / f"{name}{SUFFIX}").read_bytes() for name in names} if styles else {}
    for artifact, limits in artifacts:
        files[f"{APP}/{artifact.name}/{MODEL_FILE}"] = description(model, artifact, limits, names).encode()
    if any(artifact.target == ANDROID_TARGET for artifact, _ in artifacts):
        files[f"{ANDROID}/{KOTLIN.name}"] = KOTLIN.read_bytes()
    return files
