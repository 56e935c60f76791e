"""What an artifact has to reach, and whether it did."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..system.errors import InstantStyleError

Similarity = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class Limits(BaseModel):
    """What an artifact has to reach; what is left out is not limited.

    Some things fail without any limit: NaN or Inf in any output, a graph without scores, fewer int8 convolutions executed than asked
    for, and an int8 graph that is slower than ONNX Runtime float.

    Attributes:
        min_ssim_mean: least mean SSIM, end to end, over the validation samples.
        min_ssim_worst: least SSIM of every single validation sample.
        min_ssim_hard: least SSIM of every pattern and badly exposed photo to the network's own float self, which is what was converted.
        max_colour_hard: largest mean CIEDE2000 to it of these.
        min_ssim_tile: least SSIM to it of every 64x64 tile of any other sample.
        max_block: largest mean difference to it in any 8x8 block of these, as a share of the range.
        max_colour: largest mean CIEDE2000 to it of these.
        max_perceptual: largest perceptual distance to it of these; the default holds only where the features' weights are installed.
        max_abs: largest absolute difference in any validation sample, in units of the output.
        max_abs_hard: the same in any hard sample.
        max_bytes: what an app must carry, all graphs together.
        max_memory_bytes: peak resident memory over a process that only imported the runtime.
        min_over_ort_float: how many times faster than ONNX Runtime float the hot graph has to be: the low end of the interval.
        min_over_pytorch: the same against PyTorch eager float.
        max_p50_ms: longest median time of the hot graph.
        max_half_share: largest magnitude of any tensor that is computed in float16, as a share of 65504.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    min_ssim_mean: Similarity | None = None
    min_ssim_worst: Similarity | None = None
    min_ssim_hard: Similarity | None = 0.5
    max_colour_hard: Positive | None = 20.0
    min_ssim_tile: Similarity | None = 0.3
    max_block: Positive | None = 0.25
    max_colour: Positive | None = 5.0
    max_perceptual: Positive | None = 0.3
    max_abs: Positive | None = None
    max_abs_hard: Positive | None = None
    max_bytes: Count | None = None
    max_memory_bytes: Count | None = None
    min_over_ort_float: Positive | None = None
    min_over_pytorch: Positive | None = None
    max_p50_ms: Positive | None = None
    max_half_share: Positive | None = 0.5


# What an artifact is held to where nothing limits its picture; bytes and speed are not limited then.
DEFAULT = Limits(min_ssim_mean=0.95, min_ssim_worst=0.90)
OF_THE_PICTURE = ("min_ssim_mean", "min_ssim_worst", "max_abs")


def merge(default: Limits, override: Limits) -> Limits:
    """``default`` with the values that were set in ``override``."""
    return default.model_copy(update={name: getattr(override, name) for name in override.model_fields_set})


def completed(limits: Limits) -> Limits:
    """``limits`` with DEFAULT where none of them is of the picture: without limits, anything would pass."""
    return merge(DEFAULT, limits) if all(getattr(limits, name) is None for name in OF_THE_PICTURE) else limits


@dataclass(frozen=True)
class LimitTable:
    """The table ``[limits]`` of a file: limits for all, and by name those of ``[limits.<name>]``, which replace them one by one.

    A name is a target (``android``) or a target in one precision (``android-int8``), which wins. Where none of them is of the picture,
    DEFAULT applies.
    """

    default: Limits
    overrides: Mapping[str, Limits]

    @classmethod
    def parse(cls, table: object, where: str) -> "LimitTable":
        """Of a parsed TOML table.

        Args:
            where: the file, for messages.

        Raises:
            InstantStyleError: an unknown key, a wrong value, or a table without any limit.
        """
        if not isinstance(table, Mapping):
            raise InstantStyleError(f"{where}: [limits] has to be a table, found {table!r}")
        empty = next((name for name, value in (("limits", table), *((f"limits.{key}", table[key]) for key in table)) if value == {}), None)
        if empty is not None:
            raise InstantStyleError(f"{where}: [{empty}] has no limit in it; known are {', '.join(Limits.model_fields)}")
        own = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
        overrides = {str(key): _parse(value, f"{where}: [limits.{key}]") for key, value in table.items() if isinstance(value, Mapping)}
        return cls(_parse(own, f"{where}: [limits]"), overrides)

    def of(self, target: str, precision: str) -> Limits:
        """The limits of an artifact."""
        empty = Limits()
        for_target = merge(self.default, self.overrides.get(target, empty))
        return completed(merge(for_target, self.overrides.get(f"{target}-{precision}", empty)))


def _parse(table: Mapping[str, object], where: str) -> Limits:
    try:
        return Limits.model_validate(dict(table))
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        if problem["type"] == "extra_forbidden":
            raise InstantStyleError(f"{where}: unknown key '{key}'; known are {', '.join(Limits.model_fields)}") from error
        raise InstantStyleError(f"{where}: {key} = {problem['input']!r}: {problem['msg']}") from error
