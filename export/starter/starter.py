"""``instantstyle init``: writes the recipe."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import tomlkit

from ...calibration.imageset import ImageSet
from ...recipe.settings import ENOUGH_SAMPLES, ModelSettings
from ...recipe.shipped import ROOT
from ...system.disk import OutputError, atomic_write, check_output
from ...system.errors import CheckpointError, ImageError, RecipeError
from ...targets.registry import BUILT_IN
from ..image_halves import halves, relative
from ..schemas import schema_text
from ..source.image_checks import check_disjoint
from .discover import Found, discover

TEMPLATE = "recipe.toml.j2"
SCHEMA = Path(".instantstyle/recipe.schema.json")  # beside the recipe
PLACEHOLDER = "mynet.py:make"
BUILT = ("onnx", "android")
# More than these of one folder would fill the recipe and change little.
MOST_LISTED = 96
FOLDERS = {"photos": ("photos/calibration", "photos/validation"), "styles": ("styles/calibration", "styles/validation")}


@dataclass(frozen=True)
class StartOptions:
    """The command line of ``instantstyle init``."""

    factory: str | None
    out: Path
    checkpoint: Path | None = None
    checkpoint_key: str | None = None
    photos: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    styles: tuple[str, ...] = ()
    validation_styles: tuple[str, ...] = ()
    name: str | None = None
    force: bool = False


def start(options: StartOptions) -> str:
    """Writes a recipe, and its JSON schema for editors beside it; what was found, and what comes next.

    Raises:
        OutputError: there is one already.
        RecipeError, CheckpointError, ImageError: model, weights or images cannot be used; nothing is written then.
    """
    check_output(options.out, options.checkpoint)
    if options.out.exists() and not options.force:
        raise OutputError(f"{options.out}: is there already. Choose another name, or replace it with --force")
    if options.name is not None and not re.fullmatch(r"[A-Za-z0-9._-]+", options.name):
        raise RecipeError(f"--name: found '{options.name}'; allowed: letters, digits, '.', '_' and '-'")
    if options.checkpoint is not None and not options.checkpoint.exists():
        raise CheckpointError(f"--checkpoint: no such file {options.checkpoint}")
    base = options.out.absolute().parent
    photos, styles = (_Pair.of(kind, options, base) for kind in FOLDERS)
    name = options.name or _name(options.factory)
    found = None
    if options.factory is not None:
        model = ModelSettings(factory=options.factory, checkpoint=options.checkpoint, checkpoint_key=options.checkpoint_key)
        found = discover(model, name, [each.probed for each in (photos, styles)])
        if options.styles and found.images == 1:
            raise ImageError(f"--styles: {options.factory} takes one image; leave them out")
    text = _text(options, name, found, photos, styles)
    atomic_write(base / SCHEMA, schema_text("recipe"))
    atomic_write(options.out.absolute(), text)
    return _summary(options, found)


@dataclass(frozen=True)
class _Pair:
    """What a recipe says of one kind of image, and a set to run the model on."""

    fitted: str | list[str]
    judged: str | list[str]
    probed: ImageSet

    @classmethod
    def of(cls, kind: str, options: StartOptions, base: Path) -> "_Pair":
        given = getattr(options, kind)
        apart = options.validation if kind == "photos" else options.validation_styles
        option = "--validation" if kind == "photos" else "--validation-styles"
        if not given and apart:
            raise ImageError(f"{option}: give --{kind} as well, to calibrate with")
        if not given:
            return cls(*FOLDERS[kind], ImageSet.from_patterns([f"samples/calibration/{kind}"], ROOT))
        if not apart:
            fitted, judged = halves(given, kind, option, MOST_LISTED)
            files = ImageSet.from_patterns([str(file) for file in fitted], Path.cwd())
            return cls(relative(fitted, base), relative(judged, base), files)
        sets = [ImageSet.from_patterns(patterns, Path.cwd()) for patterns in (given, apart)]
        check_disjoint(sets[:1], [sets[0].digests], sets[1:], [sets[1].digests], options.out)
        return cls(_moved(given, base), _moved(apart, base), sets[0])


def _moved(patterns: Sequence[str], base: Path) -> list[str]:
    """Patterns of the current folder as a recipe in ``base`` has them."""
    return [os.path.relpath(os.path.expanduser(pattern), base) for pattern in patterns]


def _name(factory: str | None) -> str:
    """A name for the model: that of the file or the module."""
    where = (factory or PLACEHOLDER).rpartition(":")[0].removesuffix(".py")
    return re.sub(r"[^A-Za-z0-9._-]", "-", re.split(r"[/\\.]", where)[-1]) or "model"


def _text(options: StartOptions, name: str, found: Found | None, photos: _Pair, styles: _Pair) -> str:
    base = options.out.absolute().parent
    two = found is not None and found.images == 2
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["toml"] = _toml
    environment.globals["table"] = _table
    return environment.get_template(TEMPLATE).render(
        schema=SCHEMA.as_posix(),
        file=options.out.name,
        name=name,
        factory=_moved_factory(options.factory or PLACEHOLDER, base),
        checkpoint=None if options.checkpoint is None else os.path.relpath(options.checkpoint, base),
        checkpoint_key=options.checkpoint_key,
        found=found,
        notices=found.notices if found else (),
        calibration={"photos": photos.fitted, "styles": styles.fitted if two else None},
        validation={"photos": photos.judged, "styles": styles.judged if two else None},
        enough=ENOUGH_SAMPLES,
        others=[target for target in BUILT_IN if target.name not in BUILT],
    )


def _toml(value: Any) -> str:
    return tomlkit.item(value).as_string()


def _table(header: str, lines: Sequence[str]) -> str:
    """A table of a recipe; without lines, as a comment."""
    return "\n".join([header, *lines]) if lines else f"# {header}"


def _moved_factory(factory: str, base: Path) -> str:
    where, _, function = factory.rpartition(":")
    return f"{os.path.relpath(where, base)}:{function}" if where.endswith(".py") else factory


def _summary(options: StartOptions, found: Found | None) -> str:
    lines = [f"{options.out}: written"]
    if found is not None:
        parts = [f"input {', '.join(found.input)}"] * bool(found.input) + [f"output {', '.join(found.output)}"] * bool(found.output)
        parts = parts or ["RGB in -1 to 1" if found.bare else "as the Model says itself"]
        parts += [f"x{found.scale}"] * (found.scale > 1) + [f"sizes in multiples of {found.multiple}"] * (found.multiple > 1)
        lines.insert(0, f"{options.factory} runs at {found.size[0]}x{found.size[1]}: {'; '.join(parts)}")
        lines += [f"  look at this: {notice}" for notice in found.notices]
    if not options.photos:
        lines.append(f"Next: put photos where it says, or name your folders, then: instantstyle release {options.out}")
    else:
        lines.append(f"Next: instantstyle release {options.out}")
    return "\n".join(lines)
