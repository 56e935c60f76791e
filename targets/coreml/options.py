"""What ``[targets.options.coreml]`` may say."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ...model.errors import InstantStyleError
from ...model.graph import Size
from ..option_errors import parse

# Deployment targets from the oldest that knows ML programs, with the specification version that each came with.
DEPLOYMENT_TARGETS = {"iOS15": 6, "iOS16": 7, "iOS17": 8, "iOS18": 9}

Pixels = Annotated[int, Field(ge=8, le=8192)]
PixelSize = Annotated[tuple[Pixels, Pixels], BeforeValidator(lambda value: (value, value) if type(value) is int else value)]


class CoreMLOptions(BaseModel):
    """Options of the target.

    Attributes:
        more_sizes: heights and widths that the packages take besides the recipe's size (Core ML's enumerated shapes).
        minimum_deployment_target: the oldest system that an app supports, e.g. ``iOS16`` (which is macOS 13 as well). A graph that needs
            a newer one is refused. Without it, each package gets the oldest one that its graph allows.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    more_sizes: tuple[PixelSize, ...] = ()
    minimum_deployment_target: str | None = None

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> "CoreMLOptions":
        """Of the recipe's table. Raises InstantStyleError for an unknown key or a wrong value."""
        found = parse(cls, options)
        if found.minimum_deployment_target not in (None, *DEPLOYMENT_TARGETS):
            known = ", ".join(DEPLOYMENT_TARGETS)
            raise InstantStyleError(f"minimum_deployment_target = '{found.minimum_deployment_target}': allowed: {known}")
        return found

    def sizes(self, size: Size) -> tuple[Size, ...]:
        """All sizes of a package whose own size is ``size``, that one first."""
        return tuple(dict.fromkeys((size, *self.more_sizes)))
