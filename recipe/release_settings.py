"""The tables of a recipe about what becomes of a release: what an app gets, and what a candidate may lose."""

from typing import Annotated

from pydantic import Field

from .section import Patterns, Section


class AppSettings(Section):
    """What apps get besides the model files.

    Attributes:
        styles: images whose codes are made ready, so that an app can ship these styles without the graph that makes codes.
    """

    styles: Patterns = ()


class ParitySettings(Section):
    """How much worse than the released one a candidate may be, of every artifact.

    Attributes:
        max_ssim_drop: of mean, worst and lowest hard SSIM.
        max_growth: of the bytes that an app carries, as a share.
        max_speed_drop: of the ratios of time to float, as a share. They are measured on the candidate's machine and the released one's.
    """

    max_ssim_drop: Annotated[float, Field(ge=0, le=2)] = 0.005
    max_growth: Annotated[float, Field(ge=0)] = 0.02
    max_speed_drop: Annotated[float, Field(ge=0, le=1)] = 0.1
