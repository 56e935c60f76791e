"""The table of what artifacts need of float16's range."""

from collections.abc import Iterable, Iterator

from ..results.bundle import BundleArtifact

COLUMNS = ("Artifact", "Graph", "Module", "Operator", "largest", "of 65504", "sample", "squares within a norm")


def rows(artifacts: Iterable[BundleArtifact]) -> Iterator[tuple[str, ...]]:
    """Rows of the report under COLUMNS."""
    for artifact in artifacts:
        found = artifact.measurements.half_range if artifact.measurements else None
        if found is not None:
            squares = f"{found.square_share:.3g} x 65504 in {found.square_module_path}" if found.square_module_path else ""
            largest, share = f"{found.largest:.4g}", f"{found.share:.4f}"
            yield artifact.name, found.graph, found.module_path, found.operator, largest, share, found.sample, squares
