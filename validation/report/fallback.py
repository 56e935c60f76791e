"""What ships in the place of int8, in words."""

from ..judge.gate import shipped_instead, shortcomings
from ..results.bundle import Bundle


def fallback_lines(bundle: Bundle) -> list[str]:
    """A sentence for each int8 artifact that missed its limits, and for each precision that was tried in its place and missed them, too."""
    artifacts = {artifact.name: artifact for artifact in bundle.artifacts}
    lines = []
    for each in bundle.fallbacks:
        ships = shipped_instead(bundle, artifacts[each.artifact])
        place = f"ships as {ships.name}, in {ships.precision}, because" if ships is not None else "has nothing to ship in its place:"
        lines.append(f"{each.artifact} {place} {each.reason}")
    tried = [artifacts[name] for name in bundle.built_instead]
    return lines + [f"tried instead of int8: {sentence}" for artifact in tried for sentence in shortcomings(bundle, artifact)]
