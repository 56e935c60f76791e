"""The tables of a recipe: model, images, pruning, quantisation, targets."""

from typing import Annotated, Any, Literal

from pydantic import Field

from .section import Number, Patterns, PixelSize, RecipePath, Section

PRECISIONS = Literal["float32", "float16", "int8", "int8-weights"]
LEVELS = Literal["passed", "vendor_cpu", "graph_parity"]
# Fewer different samples than this say little; a recipe may ask for fewer, and the report then says so.
ENOUGH_SAMPLES = 8


class InputSettings(Section):
    """What an image means to a model that is a plain ``nn.Module``.

    Attributes:
        range: black and white, before mean and standard deviation.
        mean, std: the model's values are (pixel - mean) / std, with one number for each channel in the model's order.
        channels: 1 is luma, 4 is with alpha; by default what the model takes and gives.
        order: of the colours.
    """

    range: tuple[Number, Number] = (-1.0, 1.0)
    mean: tuple[Number, ...] = ()
    std: tuple[Number, ...] = ()
    channels: Literal[1, 3, 4] | None = None
    order: Literal["RGB", "BGR"] = "RGB"


class OutputSettings(InputSettings):
    """The same of the output.

    Attributes:
        select: which element of what the model returns is the image, a position in a tuple, a key of a dict or the name of a field.
    """

    select: int | str | None = None


class ModelSettings(Section):
    """What to export.

    Attributes:
        factory: ``module:function`` or ``path/to/file.py:function``; returns an ``nn.Module`` or our ``Model``.
        checkpoint: safetensors, or what ``torch.save`` or a training framework wrote of the weights.
        checkpoint_key: where they are in it (``params_ema``, ``state_dict.generator``), if several sets of weights in it fit.
        sizes: height and width in pixels, or one number for a square; QAT and calibration use the first.
        input, output: of a plain ``nn.Module``; a ``Model`` says it in its ``TensorSpec``s.
        author, license, version: of the model; written into artifacts that have a place for them.
    """

    factory: str
    checkpoint: RecipePath | None = None
    checkpoint_key: str | None = None
    sizes: Annotated[tuple[PixelSize, ...], Field(min_length=1)] = ((512, 512),)
    input: InputSettings = InputSettings()
    output: OutputSettings = OutputSettings()
    author: str = ""
    license: str = ""
    version: str = ""


class ImageSetSettings(Section):
    """Images for the image inputs of a model.

    Attributes:
        photos: folders, globs or files, for the first image input.
        styles: the same for the second, of a model that has one.
        pairing: ``all`` takes every photo with every style, ``cycle`` every photo with the next style.
    """

    photos: Patterns
    styles: Patterns | None = None
    pairing: Literal["all", "cycle"] = "all"

    def patterns(self) -> tuple[tuple[str, ...], ...]:
        """The patterns of each image set that is there, in the order of the model's image inputs."""
        return (self.photos,) if self.styles is None else (self.photos, self.styles)


class CalibrationImages(ImageSetSettings):
    """Images for QAT and calibration."""

    pairing: Literal["all", "cycle"] = "cycle"


class ValidationImages(ImageSetSettings):
    """Images that the result is judged on.

    Attributes:
        minimum: samples that have to differ in what they show, or nothing passes.
    """

    minimum: Annotated[int, Field(ge=1)] = ENOUGH_SAMPLES


class ImageSettings(Section):
    """Two disjoint sets: what ranges and weights are fitted on, and what the result is judged on."""

    calibration: CalibrationImages
    validation: ValidationImages


Share = Annotated[float, Field(ge=0, lt=1)]


class HeldOutSettings(Section):
    """Which images are never learnt from.

    Attributes:
        photo_every, artwork_every: every n-th by the files' names, whatever folders they are in; 0 for none.
        names_of: those that share a name with a file below this folder.
        contents: those whose SHA-256 sum this file lists, whatever they are called and wherever they are.
    """

    photo_every: Annotated[int, Field(ge=0)] = 10
    artwork_every: Annotated[int, Field(ge=0)] = 7
    names_of: RecipePath | None = None
    contents: RecipePath | None = None


Steps = Annotated[int, Field(ge=0)]


class RoundedSettings(Section):
    """Fine-tuning with numbers that are rounded as int8 artifacts round them.

    Ranges of activations are learnt with the weights, and stand in the checkpoint.

    Attributes:
        steps: of every graph, or by graph name; 0 for none.
        learning_rate: of the first step; it falls to 0.
    """

    steps: Steps | dict[str, Steps] = 0
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 2e-4

    def steps_of(self, graph: str) -> int:
        """Steps of a graph."""
        return _of_graph(self.steps, graph)

    @property
    def any_steps(self) -> bool:
        """Whether there is anything to do."""
        return _any(self.steps)


def _of_graph(steps: int | dict[str, int], graph: str) -> int:
    return steps.get(graph, 0) if isinstance(steps, dict) else steps


def _any(steps: int | dict[str, int]) -> bool:
    return any(steps.values()) if isinstance(steps, dict) else steps > 0


class RecoverSettings(Section):
    """Fine-tuning after pruning, each graph distilled from its whole self.

    Attributes:
        steps: of every graph, or by graph name; 0 for none.
        rounded: what comes after these steps.
        batch, learning_rate, seed: of each step.
        crop: in pixels.
        structure: weight of 1 - SSIM beside the L1 distance of images.
        images: to learn from; the calibration images if there are none.
        held_out: of these images.
    """

    steps: Steps | dict[str, Steps] = 0
    rounded: RoundedSettings = RoundedSettings()
    batch: Annotated[int, Field(ge=1)] = 2
    crop: Annotated[int, Field(ge=32)] = 256
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 2e-4
    structure: Annotated[float, Field(ge=0)] = 0.5
    images: ImageSetSettings | None = None
    held_out: HeldOutSettings = HeldOutSettings(photo_every=0, artwork_every=0)
    seed: int = 0

    def steps_of(self, graph: str) -> int:
        """Steps of a graph."""
        return _of_graph(self.steps, graph)

    @property
    def any_steps(self) -> bool:
        """Whether there is anything to do before numbers are rounded."""
        return _any(self.steps)


class PruneSettings(Section):
    """Structured pruning.

    Attributes:
        method: ``off`` passes the model on unchanged.
        channels, heads: share to remove by pattern of ``<graph>.<module path>`` (``*`` stands for anything); the first pattern that
            matches counts.
        multiple: widths stay multiples of it.
        samples: calibration images that importance is measured on.
        result: checkpoint that ``instantstyle prune`` made of this section; it is taken instead of doing it all again.
    """

    method: Literal["off", "structured"] = "off"
    channels: dict[str, Share] = {}
    heads: dict[str, Share] = {}
    multiple: Annotated[int, Field(ge=1)] = 8
    samples: Annotated[int, Field(ge=1)] = 8
    recover: RecoverSettings = RecoverSettings()
    result: RecipePath | None = None


class QuantizeSettings(Section):
    """How the int8 program is made.

    Attributes:
        method: ``qat`` fine-tunes the weights against the float model, ``ptq`` only calibrates, ``off`` leaves float.
        steps, batch, crop, learning_rate, seed: of the fine-tuning; ``crop`` in pixels.
        observer: how a range is chosen from the values seen.
        percentile: of the values seen, where the observer of that name clips.
        minimum_images: fewer calibration photos than this are refused.
        plan: ``auto`` finds out on calibration samples what makes the int8 pictures better, see docs/quantization.md.
        keep_float, keep_int8: module paths (globs), or ``<graph>.<module path>``, that leave or enter int8 against the rules. An int8
            artifact stores what is left in float in half precision.
        calibration_table: reuse this table instead of calibrating.
        fallback: whether the first of int8-weights, float16 and float32 that keeps the limits of int8 ships where int8 does not.
    """

    method: Literal["qat", "ptq", "off"] = "qat"
    steps: Annotated[int, Field(ge=1)] = 100
    batch: Annotated[int, Field(ge=1)] = 2
    crop: Annotated[int, Field(ge=32)] = 256
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 2e-5
    observer: Literal["min_max", "moving_average", "percentile", "entropy", "mse"] = "percentile"
    percentile: Annotated[float, Field(gt=50, le=100)] = 99.99
    minimum_images: Annotated[int, Field(ge=1)] = 8
    plan: Literal["auto", "off"] = "auto"
    keep_float: tuple[str, ...] = ()
    keep_int8: tuple[str, ...] = ()
    calibration_table: RecipePath | None = None
    fallback: Literal["none", "float"] = "none"
    seed: int = 0


class TargetSettings(Section):
    """What to build, and whose failure fails the build.

    Attributes:
        build: precisions by target.
        required: targets (``android``) or targets in one precision (``onnx-int8``) whose artifacts must all pass; the others
            are reported only.
        level: what is enough for one of ``required`` whose artifact cannot run on the machine that builds it: ``vendor_cpu`` where the
            vendor's own library executed it on this CPU, ``graph_parity`` where something else computed its graph; else ``passed``.
        options: by target, what it offers to choose.
    """

    build: Annotated[dict[str, Annotated[tuple[PRECISIONS, ...], Field(min_length=1)]], Field(min_length=1)]
    required: Annotated[tuple[str, ...], Field(min_length=1)]
    level: dict[str, LEVELS] = {}
    options: dict[str, dict[str, Any]] = {}

    def named(self, name: str) -> tuple[str, tuple[str, ...]]:
        """Target and precisions that a name in ``required`` means. Names of targets may have dashes themselves."""
        if name in self.build:
            return name, self.build[name]
        return next((target, (one,)) for target, precisions in self.build.items() for one in precisions if f"{target}-{one}" == name)

    def sufficing(self, level: LEVELS, required: tuple[str, ...]) -> tuple[str, ...]:
        """Those of some required names for which that level is enough."""
        return tuple(name for name in required if self.level.get(name) == level)

    def required_of(self, only: str) -> tuple[str, ...]:
        """What is required where one target is built or judged alone: what is required of it, or all of it; everything for no target."""
        if not only:
            return self.required
        own = (only, *(f"{only}-{precision}" for precision in self.build[only]))
        return tuple(name for name in self.required if name in own) or (only,)
