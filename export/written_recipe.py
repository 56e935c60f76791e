"""The recipe of a model that is in memory: written as a file, so that a bundle carries it and the command can repeat the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomlkit

from ..calibration.imageset import ImageSet
from ..recipe.precision import Precision
from ..system.disk import atomic_write
from ..system.errors import RecipeError
from .image_halves import Images, halves, patterns, relative
from .session import DEFAULT_CACHE

if TYPE_CHECKING:
    from torch import nn

    from ..model.graph import Model

FOLDER = "recipes"


@dataclass(frozen=True)
class WrittenRecipe:
    """The arguments of ``instantstyle.export``, which see."""

    name: str
    model: "nn.Module | Model"
    images: Images
    validation: Images | None
    styles: Images | None
    validation_styles: Images | None
    targets: Sequence[str] | Mapping[str, Sequence[str]]
    limits: Mapping[str, Any] | None
    size: int | tuple[int, int] | Sequence[tuple[int, int]]
    input: Mapping[str, Any] | None
    output: Mapping[str, Any] | None
    quantize: str | Mapping[str, Any]
    latency: Mapping[str, Any] | None
    required: Sequence[str] | None
    level: Mapping[str, str] | None

    def write(self, cache: Path | None) -> Path:
        """Writes it below the cache; its path.

        Raises:
            ImageError: images are missing, or too few to calibrate and to judge with.
            RecipeError: a target without a precision.
        """
        path = ((cache or DEFAULT_CACHE) / FOLDER / f"{self.name}.toml").absolute()
        content = {
            "name": self.name,
            "model": _without_none(
                {"factory": _origin(self.model), "sizes": _sizes(self.size), "input": self.input, "output": self.output}
            ),
            "images": self._images(path.parent),
            "quantize": {"method": self.quantize} if isinstance(self.quantize, str) else dict(self.quantize),
            "targets": self._targets(),
            "limits": self.limits,
            "latency": self.latency,
        }
        atomic_write(path, tomlkit.dumps(_without_none(content)))
        return path

    def _images(self, base: Path) -> dict[str, Any]:
        calibration, validation = _two_sets(self.images, self.validation, "photos", "validation", base)
        table: dict[str, Any] = {"calibration": {"photos": calibration}, "validation": {"photos": validation}}
        if self.styles is not None:
            styles = _two_sets(self.styles, self.validation_styles, "styles", "validation_styles", base)
            table["calibration"]["styles"], table["validation"]["styles"] = styles
        return table

    def _targets(self) -> dict[str, Any]:
        build = _precisions(self.targets)
        return _without_none({"build": build, "required": list(self.required or build), "level": dict(self.level) if self.level else None})


def _two_sets(given: Images, kept_back: Images | None, what: str, otherwise: str, base: Path) -> tuple[list[str], list[str]]:
    """Files to fit on and files to judge with, relative to ``base``."""
    if kept_back is None:
        fitted, judged = halves(given, what, f"{otherwise}=")
    else:
        fitted, judged = _files(given), _files(kept_back)
    return relative(fitted, base), relative(judged, base)


def _files(given: Images) -> tuple[Path, ...]:
    return ImageSet.from_patterns(patterns(given), Path.cwd()).files


def _sizes(size: object) -> list[object]:
    if isinstance(size, tuple) and len(size) == 2 and all(isinstance(side, int) for side in size):
        return [list(size)]
    return [size] if isinstance(size, int) else [list(each) if isinstance(each, tuple) else each for each in size]  # type: ignore[attr-defined]


def _precisions(targets: Sequence[str] | Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Precisions by target. Names of targets may have dashes themselves, and so has one precision."""
    if isinstance(targets, Mapping):
        return {name: [precisions] if isinstance(precisions, str) else list(precisions) for name, precisions in targets.items()}
    found: dict[str, list[str]] = {}
    for text in [targets] if isinstance(targets, str) else targets:
        endings = [precision for precision in sorted(map(str, Precision), key=len, reverse=True) if text.endswith(f"-{precision}")]
        if not endings:
            raise RecipeError(f"targets: found '{text}'; write a target and a precision, e.g. 'android-int8' ({', '.join(Precision)})")
        found.setdefault(text.removesuffix(f"-{endings[0]}"), []).append(endings[0])
    return found


def _origin(model: object) -> str:
    """What stands in the place of a factory: nobody can call it."""
    return f"{type(model).__module__}:{type(model).__qualname__}"


def _without_none(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if value is not None}
