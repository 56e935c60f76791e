"""What ``[targets.options.qnn]`` may say."""

from collections.abc import Mapping
from typing import Any, Literal

from ...recipe.complaints import parse_options
from ...recipe.section import Section

Architecture = Literal[73, 75, 79, 81]
# A chip of each architecture, and Qualcomm's number of it (QnnHtp's soc_model).
CHIPS: Mapping[int, tuple[str, int]] = {
    73: ("Snapdragon 8 Gen 2", 43),
    75: ("Snapdragon 8 Gen 3", 57),
    79: ("Snapdragon 8 Elite", 69),
    81: ("Snapdragon 8 Elite Gen 5", 87),
}


class QNNOptions(Section):
    """Options of the target.

    Attributes:
        architectures: of Hexagon processors that graphs are compiled for ahead of time; none leaves it to the phone's first start.
    """

    architectures: tuple[Architecture, ...] = (73, 75, 79, 81)

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> "QNNOptions":
        """Of the recipe's table. Raises InstantStyleError for an unknown key or a wrong value."""
        return parse_options(cls, options)
