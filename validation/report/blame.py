"""What the modules of artifacts that missed their limits lose, as rows and sentences."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..judge.fallback import missed
from ..results.blame import BLAMES, FILE, Blame, GraphBlame
from ..results.bundle import Bundle

COLUMNS = ("Artifact", "Graph", "Module", "SSIM gained in float", "int8 ms", "float ms", "bytes more")
# Of the dozens that a graph has: each loses less than the one before.
SHOWN = 8
_NOTHING = "-"


def blamed(bundle: Bundle, folder: Path) -> tuple[GraphBlame, ...]:
    """Of the artifacts that have failed as the bundle is judged now."""
    file = folder / FILE
    failed = {artifact.name for artifact in bundle.artifacts if missed(artifact)}
    return tuple(each for each in BLAMES.validate_json(file.read_bytes()) if each.artifact in failed) if file.is_file() else ()


def blame_rows(blames: Sequence[GraphBlame]) -> Iterator[tuple[str, ...]]:
    """The modules of each graph that lose most."""
    for each in blames:
        for row in each.modules[:SHOWN]:
            yield each.artifact, each.graph, row.module_path, *blame_cells(row)


def blame_lines(blames: Sequence[GraphBlame]) -> list[str]:
    """What would help, with its price."""
    return [f"{each.artifact}: {sentence}" for each in blames for sentence in each.advice]


def blame_cells(row: Blame) -> tuple[str, str, str, str]:
    """SSIM gained, both times and bytes."""
    if row.ssim_gained is None:
        return _NOTHING, _ms(row.int8_ms), _ms(row.float_ms), _NOTHING
    return f"{row.ssim_gained:+.4f}", _ms(row.int8_ms), _ms(row.float_ms), f"{row.more_bytes:,}"


def _ms(time: float | None) -> str:
    return _NOTHING if time is None else f"{time:.2f}"
