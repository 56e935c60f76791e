"""Which files of a bundle another build of the same commit, recipe and machine cannot give byte for byte, and why."""

from collections.abc import Mapping

from ...targets.base import Target
from ...validation.results.bundle import Bundle, Irreproducible

MEASURED = "it holds times, loads and the moment of the build; with SOURCE_DATE_EPOCH the moment is fixed"
OF_THE_BUILD = {
    "bundle.json": MEASURED,
    "junit.xml": MEASURED,
    "model-card.md": "it holds the moment of the build, which SOURCE_DATE_EPOCH fixes, and bytes of the files listed here",
    "sbom.cdx.json": "it holds the moment of the build, which SOURCE_DATE_EPOCH fixes, and hashes of the files listed here",
    "signature.json": "ECDSA takes a new random number for every signature",
    "report.html": MEASURED,
    "summary.md": MEASURED,
}


def irreproducible(bundle: Bundle, targets: Mapping[str, Target]) -> tuple[Irreproducible, ...]:
    """By path. All other files of the bundle come out the same."""
    found = dict(OF_THE_BUILD)
    for artifact in bundle.artifacts:
        target = targets.get(artifact.target)
        reasons = target.irreproducible(artifact.files) if target is not None and artifact.folder else {}
        found |= {f"{artifact.folder}/{path}": why for path, why in reasons.items()}
        if reasons:
            found[f"{artifact.folder}/artifact.json"] = "it holds hashes of files that are listed here"
            found |= {f"golden/{artifact.name}{suffix}": "files that are listed here computed it" for suffix in (".json", ".png")}
    return tuple(Irreproducible(path, why) for path, why in sorted(found.items()))
