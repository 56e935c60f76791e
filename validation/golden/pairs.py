"""What golden pairs there are at one size, and where each of them lies."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, with_config

from ...model.graph import Size, TensorSpec
from ...system.errors import ArtifactError
from ..results.codec import STRICT, decode, encode
from .pictures import enlarged, read_png, to_values

FOLDER, FILE = "golden", "golden.json"
Natural = Annotated[int, Field(ge=0)]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\.png$")]


@dataclass(frozen=True)
class GoldenImage:
    """An image that goes in.

    Attributes:
        input: its name in the model.
        file: PNG beside ``golden.json``.
        enlarged: how many times higher and wider the model takes it: bilinear between centres of pixels, rounded half up.
    """

    input: str
    file: FileName
    enlarged: Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class GoldenScalar:
    """A number that goes in."""

    input: str
    value: float


@dataclass(frozen=True)
class GoldenPair:
    """What goes in, and what the float reference makes of it.

    Attributes:
        name: of the sample.
        hard: whether it is a hard sample, whose reference is the network's own float self.
        images, scalars: what goes in.
        output: PNG of the window of the reference's picture.
    """

    name: str
    hard: bool
    images: tuple[GoldenImage, ...]
    scalars: tuple[GoldenScalar, ...]
    output: FileName


@with_config(STRICT)
@dataclass(frozen=True)
class Golden:
    """The golden pairs at one size.

    Attributes:
        size: of the artifacts, height and width in pixels.
        output: name of the tensor that is the picture.
        window: top, left, height and width of the part of it that is compared, in pixels.
        pairs: the ordinary ones first.
        reason: why there are none, otherwise empty.
    """

    size: Size
    output: str
    window: tuple[Natural, Natural, Natural, Natural]
    pairs: tuple[GoldenPair, ...]
    reason: str = ""


def home(size: Size) -> str:
    """Where the pairs of a size lie in a bundle."""
    return f"{FOLDER}/{size[0]}x{size[1]}"


def read_golden(folder: Path) -> Golden:
    """``golden.json`` in a folder of golden pairs.

    Raises:
        ArtifactError: it is missing or none.
    """
    path = folder / FILE
    try:
        return decode(Golden, path.read_bytes(), str(path))
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror}); build the bundle again") from error


def golden_json(golden: Golden) -> str:
    """What the file says."""
    return encode(golden)


def inputs_of(pair: GoldenPair, golden: Golden, folder: Path, specs: Sequence[TensorSpec]) -> dict[str, np.ndarray]:
    """What goes into the model, by name, as it takes it.

    Args:
        specs: the inputs that the model has.

    Raises:
        ArtifactError: a file is none, or the pair is of another model.
    """
    known = {spec.name: spec for spec in specs}
    found: dict[str, np.ndarray] = {}
    for image in pair.images:
        spec = known.get(image.input)
        if spec is None:
            raise ArtifactError(f"{folder / FILE}: pair '{pair.name}' has an image '{image.input}', which the artifact does not take")
        height, width = spec.shape(golden.size)[2:]
        small = (height // image.enlarged, width // image.enlarged)
        found[image.input] = to_values(spec, enlarged(read_png(folder / image.file, spec, small), image.enlarged))
    for scalar in pair.scalars:
        found[scalar.input] = np.full((1, 1), scalar.value, np.float32)
    missing = next((name for name in known if name not in found), None)
    if missing is not None or len(found) != len(known):
        raise ArtifactError(f"{folder / FILE}: pair '{pair.name}' is not of this artifact: it has no '{missing}'")
    return found


def expected_of(pair: GoldenPair, golden: Golden, folder: Path, spec: TensorSpec) -> np.ndarray:
    """The window of the reference's picture, (1, C, H, W). Raises ArtifactError as ``inputs_of``."""
    return to_values(spec, read_png(folder / pair.output, spec, golden.window[2:]))


def windowed(golden: Golden, values: np.ndarray) -> np.ndarray:
    """The part of a picture (1, C, H, W) that is compared."""
    top, left, height, width = golden.window
    return values[:, :, top : top + height, left : left + width]
