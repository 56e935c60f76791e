"""The training recipe: data, stages and how a run is kept, as a TOML file."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from ..model.network import SIZE_MULTIPLE
from ..recipe.complaints import describe
from ..recipe.recipe import read_toml
from ..recipe.section import Patterns, RecipePath, Section
from ..recipe.settings import HeldOutSettings
from ..system.errors import RecipeError
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
        skies: contents besides the photos' crops: smooth gradients over the lower part of a photo, which no compression has touched.
        lazy: the teacher paints a pair when it is first drawn rather than all of them before the first step.
        margin: pixels at the border of the teacher's pictures that are not learnt from: there it sees beyond the photo.
        online: the teacher paints new pairs for every step, from any crop in any palette, and keeps none. It runs where the network is
            trained: for a GPU. Of the settings above only ``margin`` counts then.
    """

    photos: Patterns
    artworks: Patterns
    held_out: HeldOutSettings = HeldOutSettings()
    crops_per_photo: Annotated[int, Field(ge=1)] = 3
    variants_per_artwork: Annotated[int, Field(ge=1)] = 16
    photo_styles: Annotated[int, Field(ge=0)] = 1
    pairs_per_style: Annotated[int, Field(ge=1)] = 4
    painted_styles: Annotated[int, Field(ge=0)] = 4
    skies: Annotated[int, Field(ge=0)] = 0
    lazy: bool = False
    margin: Annotated[int, Field(ge=0, le=CONTENT_SIZE // 4)] = 0
    online: bool = False


class LossWeights(Section):
    """Factors on the losses.

    Attributes:
        l1, perceptual: distance to the teacher's picture, of pixels and of VGG features.
        gram, octaves: distance to its texture, see ``training/texture.py``.
        consistency: of a photo and its damaged twin. Every second photo of a batch is then the damaged one before, in the same style.
        adversarial: of a critic that learns to tell the pictures from the teacher's, see ``training/critic.py``.
        style: distance to the artwork's VGG statistics.
        rise: of style distances at successive alphas.
        code: distance of the style encoder's code to the target code of the artwork.
    """

    l1: Annotated[float, Field(ge=0)] = 1.0
    perceptual: Annotated[float, Field(ge=0)] = 0.0
    gram: Annotated[float, Field(ge=0)] = 0.0
    octaves: Annotated[float, Field(ge=0)] = 0.0
    consistency: Annotated[float, Field(ge=0)] = 0.0
    adversarial: Annotated[float, Field(ge=0)] = 0.0
    style: Annotated[float, Field(ge=0)] = 0.0
    rise: Annotated[float, Field(ge=0)] = 0.0
    code: Annotated[float, Field(ge=0)] = 0.0


class TrainingStage(Section):
    """A stretch of training with settings of its own; it starts from the moving average of the stage before.

    Attributes:
        epochs, steps, minutes: how long; one of the three. An epoch is every pair once; minutes are for a GPU that is there for so long,
            and what comes of them depends on its speed.
        batch: photos a step.
        photos_per_style: how many of them share a style; the style encoder runs once for each style.
        crop: side of the square that is cut out of photo and target, in pixels.
        learning_rate: peak of Adam's.
        warmup: share of the stage over which the rate rises from 0.
        schedule: after that: ``constant``, or ``cosine`` down to 2%.
        critic_rate: learning rate of the critic, of the first stage that has one.
        clip: largest norm of the gradient; 0 for no limit.
        perceptual_share: share of a batch that the VGG losses look at.
        damage: share of a batch whose photos are damaged (see ``training/damage.py``), while the target stays that of the clean photo.
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
    minutes: Positive | None = None
    batch: Annotated[int, Field(ge=1)] = 6
    photos_per_style: Annotated[int, Field(ge=1)] = 1
    crop: Annotated[int, Field(ge=64, le=CONTENT_SIZE, multiple_of=SIZE_MULTIPLE)] = 256
    learning_rate: Positive = 1e-4
    warmup: Share = 0.05
    schedule: Literal["constant", "cosine"] = "constant"
    critic_rate: Positive = 2e-4
    clip: Annotated[float, Field(ge=0)] = 0.0
    losses: LossWeights = LossWeights()
    perceptual_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    damage: Share = 0.0
    partial_alpha: Share = 0.3
    sweep: bool = False
    codes: Literal["encoder", "target"] = "encoder"
    freeze: tuple[str, ...] = ()
    frozen_norm: Share = 1.0

    @model_validator(mode="after")
    def _length(self) -> Self:
        if [self.epochs, self.steps, self.minutes].count(None) != 2:
            raise ValueError("a stage needs one of epochs, steps and minutes")
        if self.batch % self.photos_per_style:
            raise ValueError(f"batch {self.batch} is no multiple of photos_per_style {self.photos_per_style}")
        if self.losses.consistency and (self.photos_per_style % 2 or self.sweep):
            raise ValueError("the loss 'consistency' compares twins of one style: it needs an even photos_per_style, and no sweep")
        return self

    @model_validator(mode="after")
    def _sweep(self) -> Self:
        if self.losses.rise and not self.sweep:
            raise ValueError("the loss 'rise' compares successive alphas: it needs sweep = true")
        return self

    @property
    def needs_vgg(self) -> bool:
        """Whether a loss looks at VGG features or statistics."""
        return max(self.losses.perceptual, self.losses.gram) > 0 or self.needs_statistics

    @property
    def needs_statistics(self) -> bool:
        """Whether a loss wants the VGG statistics of the artworks."""
        return max(self.losses.style, self.losses.rise, self.losses.code) > 0 or self.codes == "target"

    @property
    def draws(self) -> bool:
        """Whether the stylizer runs at all; without it only the style encoder learns."""
        losses = self.losses
        return max(losses.l1, losses.perceptual, losses.gram, losses.octaves, losses.adversarial, losses.style, losses.rise) > 0


class RunSettings(Section):
    """How a run is kept.

    Attributes:
        folder: state, metrics and pictures of the run, and the teacher's pairs.
        checkpoint_every: steps between two checkpoints; a killed run loses at most these.
        pictures_every: checkpoints between two grids of pictures.
        ema: decay of the moving average of the weights, which is what is shipped.
        precision: ``bfloat16`` computes under autocast, weights stay float32; ``auto`` does so where the device is fast at it.
        device: ``auto`` takes a GPU if there is one.
        threads: of the CPU; 0 for all.
        workers: processes that prepare pictures where ``data.online``; 0 for none but the trainer's own.
    """

    folder: RecipePath
    checkpoint_every: Annotated[int, Field(ge=1)] = 200
    pictures_every: Annotated[int, Field(ge=1)] = 1
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.998
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Annotated[int, Field(ge=0)] = 0
    workers: Annotated[int, Field(ge=0)] = 0
    seed: int = 0


class TrainingRecipe(Section):
    """A whole training recipe.

    Attributes:
        name: of the checkpoint that comes of it.
        stages: what is learnt, one after the other.
        network: which one is trained, of ``CONFIGS`` in ``model/network.py``, unless a whole checkpoint says so itself.
        start: checkpoint to start from; without it the weights are random.
        start_modules: the modules that are taken from there, so that it may be of another network; without any it is taken whole.
        content_weights: torchvision's ResNet-50 weights for the content encoder.
    """

    path: Path
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")]
    network: Literal["reference", "painting"] = "reference"
    start: RecipePath | None = None
    start_modules: tuple[str, ...] = ()
    content_weights: RecipePath | None = None
    data: DataSettings
    run: RunSettings
    stages: Annotated[tuple[TrainingStage, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _online(self) -> Self:
        for stage in self.stages if self.data.online else ():
            if stage.epochs:
                raise ValueError(f"stage '{stage.name}': pairs that are painted as they are drawn have no epoch; give steps or minutes")
            if not stage.draws or stage.losses.code or stage.codes == "target":
                raise ValueError(f"stage '{stage.name}': target codes are those of a cache of pairs; they need data.online = false")
        return self

    @model_validator(mode="after")
    def _crops(self) -> Self:
        for stage in self.stages:
            if stage.crop > CONTENT_SIZE - 2 * self.data.margin:
                raise ValueError(f"stage '{stage.name}': crop {stage.crop} is more than margin {self.data.margin} leaves of {CONTENT_SIZE}")
        return self


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
