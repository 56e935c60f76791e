"""The training recipe: data, stages and how a run is kept, as a TOML file."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from ..export.recipe import read_toml
from ..export.recipe_errors import describe
from ..export.settings import HeldOutSettings, Patterns, RecipePath, Section
from ..model.errors import RecipeError
from ..model.network import SIZE_MULTIPLE
from .sizes import CONTENT_SIZE

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class DataSettings(Section):
    """Where images come from, and what the teacher is asked to paint of them.

    Attributes:
        photos, artworks: folders, globs or files, relative to the recipe.
        crops_per_photo: content crops of each photo.
        variants_per_artwork: style images of each artwork: the centre as it is, then random crops in other palettes.
        photo_styles: every n-th photo serves as a style as well; 0 for none.
        pairs_per_style: photos that the teacher paints in each style.
        painted_styles: every n-th picture of the teacher is a style image for the style encoder to learn from; 0 for none.
    """

    photos: Patterns
    artworks: Patterns
    held_out: HeldOutSettings = HeldOutSettings()
    crops_per_photo: Annotated[int, Field(ge=1)] = 3
    variants_per_artwork: Annotated[int, Field(ge=1)] = 16
    photo_styles: Annotated[int, Field(ge=0)] = 1
    pairs_per_style: Annotated[int, Field(ge=1)] = 4
    painted_styles: Annotated[int, Field(ge=0)] = 4


class LossWeights(Section):
    """Factors on the losses: ``l1`` and ``perceptual`` compare with the teacher's picture, ``style`` with the artwork's VGG statistics,
    ``rise`` the style distances at successive alphas, and ``code`` the style encoder's code with the target code of the artwork."""

    l1: Annotated[float, Field(ge=0)] = 1.0
    perceptual: Annotated[float, Field(ge=0)] = 0.0
    style: Annotated[float, Field(ge=0)] = 0.0
    rise: Annotated[float, Field(ge=0)] = 0.0
    code: Annotated[float, Field(ge=0)] = 0.0


class Stage(Section):
    """A stretch of training with settings of its own; it starts from the moving average of the stage before.

    Attributes:
        epochs, steps: how long; one of the two. An epoch is every pair once.
        batch: photos a step.
        photos_per_style: how many of them share a style; the style encoder runs once for each style.
        crop: side of the square that is cut out of photo and target, in pixels.
        learning_rate: peak of Adam's.
        warmup: share of the stage over which the rate rises from 0.
        schedule: after that: ``constant``, or ``cosine`` down to 2%.
        clip: largest norm of the gradient; 0 for no limit.
        perceptual_share: share of a batch that the VGG losses look at.
        partial_alpha: share of a batch that is trained with an alpha below 1, towards that mixture of photo and target.
        sweep: paint every photo at alpha 0, 0.25, 0.5, 0.75 and 1 instead. The first should give the photo and the last the target; the
            ``rise`` loss holds those between, since mixtures of photo and target do not come closer to the artwork step by step.
        codes: what the stylizer is given: the style encoder's codes, or the target codes that the encoder is to reach.
        freeze: module paths whose parameters stay as they are. With ``style_encoder`` every code is computed once.
        frozen_norm: share of the stage from which on batch normalisation uses its running statistics.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._ -]+$")]
    epochs: Positive | None = None
    steps: Annotated[int, Field(ge=1)] | None = None
    batch: Annotated[int, Field(ge=1)] = 6
    photos_per_style: Annotated[int, Field(ge=1)] = 1
    crop: Annotated[int, Field(ge=64, le=CONTENT_SIZE, multiple_of=SIZE_MULTIPLE)] = 256
    learning_rate: Positive = 1e-4
    warmup: Share = 0.05
    schedule: Literal["constant", "cosine"] = "constant"
    clip: Annotated[float, Field(ge=0)] = 0.0
    losses: LossWeights = LossWeights()
    perceptual_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    partial_alpha: Share = 0.3
    sweep: bool = False
    codes: Literal["encoder", "target"] = "encoder"
    freeze: tuple[str, ...] = ()
    frozen_norm: Share = 1.0

    @model_validator(mode="after")
    def _length(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("a stage needs either epochs or steps")
        if self.batch % self.photos_per_style:
            raise ValueError(f"batch {self.batch} is no multiple of photos_per_style {self.photos_per_style}")
        return self

    @model_validator(mode="after")
    def _sweep(self) -> Self:
        if self.losses.rise and not self.sweep:
            raise ValueError("the loss 'rise' compares successive alphas: it needs sweep = true")
        return self

    @property
    def needs_vgg(self) -> bool:
        """Whether a loss looks at VGG features or statistics."""
        return max(self.losses.perceptual, self.losses.style, self.losses.rise, self.losses.code) > 0

    @property
    def draws(self) -> bool:
        """Whether the stylizer runs at all; without it only the style encoder learns."""
        return max(self.losses.l1, self.losses.perceptual, self.losses.style, self.losses.rise) > 0


class RunSettings(Section):
    """How a run is kept.

    Attributes:
        folder: state, metrics and pictures of the run, and the teacher's pairs.
        checkpoint_every: steps between two checkpoints; a killed run loses at most these.
        ema: decay of the moving average of the weights, which is what is shipped.
        precision: ``bfloat16`` computes under autocast, weights stay float32; ``auto`` does so where the device is fast at it.
        device: ``auto`` takes a GPU if there is one.
        threads: of the CPU; 0 for all.
    """

    folder: RecipePath
    checkpoint_every: Annotated[int, Field(ge=1)] = 200
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.998
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Annotated[int, Field(ge=0)] = 0
    seed: int = 0


class TrainingRecipe(Section):
    """A whole training recipe.

    Attributes:
        start: checkpoint to start from; without it the weights are random.
        content_weights: torchvision's ResNet-50 weights for the content encoder.
    """

    path: Path
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")]
    start: RecipePath | None = None
    content_weights: RecipePath | None = None
    data: DataSettings
    run: RunSettings
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]


def load_training_recipe(path: Path, photos: tuple[str, ...] = (), artworks: tuple[str, ...] = ()) -> TrainingRecipe:
    """Reads and checks a training recipe; ``photos`` and ``artworks``, relative to the working directory, replace the recipe's.

    Raises:
        RecipeError: says file, line, key, what was found and what is allowed.
    """
    path = path.absolute()
    text, content = read_toml(path)
    for name, patterns in (("photos", photos), ("artworks", artworks)):
        if patterns and isinstance(content.get("data"), dict):
            content["data"][name] = [str(Path(pattern).absolute()) for pattern in patterns]
    try:
        return TrainingRecipe.model_validate({**content, "path": path}, context={"base": path.parent})
    except ValidationError as error:
        raise RecipeError(describe(error, path, text, TrainingRecipe)) from error
