"""Random samples of a model: crops at several scales, mirrored, in other palettes. For fine-tuning on whatever pictures there are."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps

from ...calibration.images import load_image, to_array
from ...calibration.imageset import ImageSet
from ...calibration.samples import image_inputs
from ...model.graph import Model, Sample, Size, TensorSpec
from ...model.pixels import encode

SMALLEST_CROP = 0.4
REPAINTED = 0.25
VARIANTS = 24
# Pictures are kept at twice the size that is drawn: the smallest crops then hardly need enlarging.
KEPT_SCALE = 2
KEPT_PICTURES = 600


class SampleDraws:
    """An endless supply of samples; the n-th is always the same.

    Inputs of a fixed size come in ``VARIANTS`` variants of each picture only, so that what is computed from them (the code of a style)
    can be kept. Scalars are at their maximum every other time, which is what apps use most, and anywhere in their range otherwise.

    Args:
        size: of images that have no fixed size of their own.
        image_sets: for the IMAGE inputs, in order.

    Raises:
        RecipeError: an IMAGE input has no image set or cannot be a picture.
    """

    def __init__(self, model: Model, size: Size, image_sets: Sequence[ImageSet], seed: int) -> None:
        self.model, self.size, self.seed = model, size, seed
        self._sets = dict(zip((spec.name for spec in image_inputs(model, image_sets)), image_sets, strict=False))
        self._kept: dict[tuple[str, int], Image.Image] = {}

    def draw(self, *index: int) -> Sample:
        """The sample of that index, whatever was drawn before. ImageError for a picture that cannot be read."""
        return Sample("-".join(map(str, index)), {spec.name: self.draw_input(spec.name, *index) for spec in self.model.sample_inputs})

    def draw_input(self, name: str, *index: int) -> np.ndarray:
        """One input of the sample of that index."""
        position, spec = next((at, spec) for at, spec in enumerate(self.model.sample_inputs) if spec.name == name)
        random = np.random.default_rng((self.seed, *index, position))
        if name in self._sets:
            return self._image(spec, random)
        value = spec.maximum if random.random() < 0.5 else random.uniform(spec.minimum, spec.maximum)
        return np.full(spec.shape(self.size), value, np.float32)

    def _image(self, spec: TensorSpec, random: np.random.Generator) -> np.ndarray:
        images, size = self._sets[spec.name], spec.shape(self.size)[2:]
        index = int(random.integers(len(images)))
        if spec.fixed_size is not None:
            random = np.random.default_rng((self.seed, index, int(random.integers(VARIANTS))))
        picture = self._picture(spec, index, (size[0], size[1]))
        share = random.uniform(SMALLEST_CROP, 1.0)
        width, height = (max(1, round(side * share)) for side in picture.size)
        left, top = (round((whole - part) * random.random()) for whole, part in zip(picture.size, (width, height), strict=True))
        array = to_array(picture.crop((left, top, left + width, top + height)), (size[0], size[1]))
        if random.random() < 0.5:
            array = array[..., ::-1]
        if random.random() < REPAINTED:
            colours = min(array.shape[1], 3)
            array = array[:, [*random.permutation(colours), *range(colours, array.shape[1])]]  # alpha is no colour
        return encode(spec, np.ascontiguousarray(array))

    def _picture(self, spec: TensorSpec, index: int, size: Size) -> Image.Image:
        """Decoded once, and reduced where it is larger than needed."""
        name = spec.name
        if (name, index) not in self._kept:
            picture = load_image(self._sets[name].files[index], spec.channels)
            height, width = (side * KEPT_SCALE for side in size)
            if picture.width > width and picture.height > height:
                picture = ImageOps.cover(picture, (width, height), Image.Resampling.LANCZOS)
            if len(self._kept) == KEPT_PICTURES:
                self._kept.pop(next(iter(self._kept)))
            self._kept[name, index] = picture
        return self._kept[name, index]
