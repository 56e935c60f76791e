"""What ``[targets.options.coreml]`` may say."""

from collections.abc import Mapping
from typing import Any

from ...model.graph import Size
from ...recipe.complaints import parse_options
from ...recipe.section import PixelSize, Section
from ...system.errors import InstantStyleError

# From the oldest that knows ML programs.
DEPLOYMENT_TARGETS = ("iOS15", "iOS16", "iOS17", "iOS18")


class CoreMLOptions(Section):
    """Options of the target.

    Attributes:
        more_sizes: heights and widths that the packages take besides the recipe's size (Core ML's enumerated shapes).
        minimum_deployment_target: the oldest system that an app supports, e.g. ``iOS16`` (which is macOS 13 as well). A graph that needs
            a newer one is refused. Without it, each package gets the oldest one that its graph allows.
    """

    more_sizes: tuple[PixelSize, ...] = ()
    minimum_deployment_target: str | None = None

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> "CoreMLOptions":
        """Of the recipe's table. Raises InstantStyleError for an unknown key or a wrong value."""
        found = parse_options(cls, options)
        if found.minimum_deployment_target not in (None, *DEPLOYMENT_TARGETS):
            known = ", ".join(DEPLOYMENT_TARGETS)
            raise InstantStyleError(f"minimum_deployment_target = '{found.minimum_deployment_target}': allowed: {known}")
        return found

    def sizes(self, size: Size) -> tuple[Size, ...]:
        """All sizes of a package whose own size is ``size``, that one first."""
        return tuple(dict.fromkeys((size, *self.more_sizes)))
