"""``python benchmarks/versus.py DIST OTHER``: artifacts of one name in two bundles, timed turn by turn in one run.

For the speed of a pruned model over the unpruned one: both as shipped, on the same machine at the same time.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

import numpy as np
from bench_table import Number, as_text

from instantstyle.metrics.statistics import median, ratio_of_medians
from instantstyle.model.graph import TensorKind
from instantstyle.system.errors import InstantStyleError
from instantstyle.targets.artifact import read_manifest
from instantstyle.targets.base import GraphArtifact
from instantstyle.targets.registry import get_target
from instantstyle.validation.integrity import verify
from instantstyle.validation.measure.latency import interleave
from instantstyle.validation.results.bundle import Bundle, BundleArtifact
from instantstyle.validation.results.bundle_file import read_bundle


def numbers(folders: tuple[Path, Path], name: str, threads: int, runs: int) -> list[Number]:
    """Medians of each graph in both bundles, and their ratio.

    Raises:
        InstantStyleError: a bundle is altered, or has no such artifact.
    """
    bundles = [read_bundle(folder) for folder in folders]
    for bundle, folder in zip(bundles, folders, strict=True):
        verify(bundle, folder)
    pair = [_artifact(bundle, name) for bundle in bundles]
    rows = [Number(f"{folder}: bytes", "", artifact.shipped_bytes, digits=0) for folder, artifact in zip(folders, pair, strict=True)]
    manifests = [read_manifest(folder / artifact.folder) for folder, artifact in zip(folders, pair, strict=True)]
    for graph in manifests[0].graphs:
        inputs = random_inputs(graph, manifests[0].size)
        runners = [
            get_target(manifest.target).open(manifest, folder / artifact.folder, graph.name, threads)
            for manifest, folder, artifact in zip(manifests, folders, pair, strict=True)
        ]
        one, other = interleave([partial(runner.run, inputs) for runner in runners], 3, runs)
        for runner in runners:
            runner.close()
        rows += [
            Number(f"{graph.name}: {folder}", " ms", median(times).value, digits=1)
            for folder, times in zip(folders, (one, other), strict=True)
        ]
        ratio = ratio_of_medians(other, one)
        rows.append(Number(f"{graph.name}: times faster", "x", ratio.value, note=f"95%: {ratio.low:.2f} to {ratio.high:.2f}"))
    return rows


def random_inputs(graph: GraphArtifact, size: tuple[int, int]) -> dict[str, np.ndarray]:
    """Seeded noise; scalars at their maximum."""
    random = np.random.default_rng(0)
    return {
        spec.name: np.full(spec.shape(size), spec.maximum, np.float32)
        if spec.kind is TensorKind.SCALAR
        else random.uniform(spec.minimum, spec.maximum, spec.shape(size)).astype(np.float32)
        for spec in graph.inputs
    }


def _artifact(bundle: Bundle, name: str) -> BundleArtifact:
    found = {artifact.name: artifact for artifact in bundle.artifacts}
    if name not in found:
        raise InstantStyleError(f"no artifact {name}; there are {', '.join(found)}")
    return found[name]


def main() -> None:
    """Exit code 2 for wrong input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dist", type=Path)
    parser.add_argument("other", type=Path)
    parser.add_argument("--artifact", default="android-int8-512x512")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=30)
    options = parser.parse_args()
    try:
        print(as_text(numbers((options.dist, options.other), options.artifact, options.threads, options.runs)))
    except InstantStyleError as error:
        print(f"versus: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
