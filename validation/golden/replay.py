"""Golden pairs through an artifact, and what its limits say of that."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import with_config

from ...model.cached_run import CachedRun
from ...recipe.limits import Limits
from ...system.errors import ArtifactError
from ..measure.built import Built
from ..measure.quality import checked_run, score
from ..results.codec import STRICT, decode
from ..results.evidence import Sha256
from .chain import asked, outputs, run_chain
from .pairs import Golden, expected_of, inputs_of, windowed

THREADS = 1  # several would add in another order each time


@dataclass(frozen=True)
class PairResult:
    """One golden pair through an artifact.

    Attributes:
        pair: its name.
        hard: whether it is a hard one.
        ssim: to the reference, in the window; NaN if anything in it is not finite.
        sha256: of the whole output's bytes, float32, little-endian.
    """

    pair: str
    hard: bool
    ssim: float
    sha256: Sha256


@dataclass(frozen=True)
class Runtime:
    """What the bits of an output depend on.

    Attributes:
        cpu: model name of the processor.
        system: operating system and architecture.
        libraries: name and version of each that computes.
    """

    cpu: str
    system: str
    libraries: tuple[tuple[str, str], ...]

    def differences(self, other: "Runtime") -> tuple[str, ...]:
        """In what ``other`` is not this, each as a short sentence."""
        own, others = dict(self.libraries), dict(other.libraries)
        changed = [name for name in sorted(own.keys() | others.keys()) if own.get(name) != others.get(name)]
        machine = [(what, getattr(self, what), getattr(other, what)) for what in ("cpu", "system")]
        rows = [(what, here, there) for what, here, there in machine if here != there]
        rows += [(name, own.get(name, "none"), others.get(name, "none")) for name in changed]
        return tuple(f"{what}: {there} here, {here} at the build" for what, here, there in rows)


@with_config(STRICT)
@dataclass(frozen=True)
class Replay:
    """All golden pairs through one artifact on one machine, on one thread."""

    artifact: str
    runtime: Runtime
    results: tuple[PairResult, ...]


def picture_of(artifact: str) -> str:
    """Where a bundle has the window of what the build's artifact made of the pair with its lowest SSIM."""
    return f"golden/{artifact}.png"


def worst(replayed: Replay) -> PairResult | None:
    """The pair with the lowest SSIM, or with none; the first of several."""
    return min(replayed.results, key=lambda each: -np.inf if np.isnan(each.ssim) else each.ssim, default=None)


def file_of(artifact: str) -> str:
    """Where a bundle has the replay of its build."""
    return f"golden/{artifact}.json"


def read_replay(path: Path) -> Replay | None:
    """What a build recorded; None if it recorded nothing.

    Raises:
        ArtifactError: the file is no replay.
    """
    return decode(Replay, path.read_bytes(), str(path)) if path.is_file() else None


Seen = Callable[[PairResult, np.ndarray], None]


def replay(golden: Golden, folder: Path, built: Built, runtime: Runtime, seen: Seen = lambda result, window: None) -> Replay:
    """Runs every pair.

    Args:
        folder: of ``golden.json``.
        seen: is told of each pair's result and the window of the artifact's output, (1, C, H, W).

    Raises:
        ArtifactError: the pairs are of another model, or damaged.
        TargetUnavailableError, ExecutionError: the artifact does not run here.
    """
    artifact, target = built.artifact, built.target
    spec = outputs(artifact.graphs).get(golden.output)
    if spec is None:
        raise ArtifactError(f"{folder}: its pairs have an output '{golden.output}', which {artifact.name} does not give")
    results = []
    with ExitStack() as stack:
        runners = {graph.name: stack.enter_context(built.open(graph.name, THREADS)) for graph in artifact.graphs}
        runs = {
            graph.name: CachedRun(checked_run(runners[graph.name].run, graph, artifact.size, artifact.name)) for graph in artifact.graphs
        }
        for pair in golden.pairs:
            known = run_chain(artifact.graphs, runs, inputs_of(pair, golden, folder, tuple(asked(artifact.graphs))))
            output = known[golden.output]
            expected = target.shown(spec, expected_of(pair, golden, folder, spec))
            found = score(pair.name, spec, expected, windowed(golden, output))
            results.append(PairResult(pair.name, pair.hard, np.nan if found.ssim is None else found.ssim, _sha256(output)))
            seen(results[-1], windowed(golden, output))
    return Replay(artifact.name, runtime, tuple(results))


def judge_replay(replayed: Replay, limits: Limits) -> Iterator[str]:
    """What misses a limit, as sentences. Every pair counts alone; a mean, where it is all that is limited, is of the ordinary ones."""
    ordinary = [result for result in replayed.results if not result.hard]
    if not ordinary:
        yield "there is no golden pair of photos"
    for result in replayed.results:
        limit = limits.min_ssim_hard if result.hard else limits.min_ssim_worst
        if np.isnan(result.ssim):
            yield f"'{result.pair}': the output has NaN or Inf"
        elif limit is not None and not result.ssim >= limit:
            yield f"'{result.pair}': SSIM {result.ssim:.4f}, at least {limit:g} is wanted"
    if limits.min_ssim_worst is None and limits.min_ssim_mean is not None and ordinary:
        mean = float(np.mean([result.ssim for result in ordinary]))
        if not mean >= limits.min_ssim_mean:
            yield f"mean SSIM {mean:.4f}, at least {limits.min_ssim_mean:g} is wanted"


def other_bits(now: Replay, then: Replay) -> tuple[str, ...]:
    """Pairs whose outputs are other numbers than at the build."""
    before = {result.pair: result.sha256 for result in then.results}
    return tuple(result.pair for result in now.results if before.get(result.pair) != result.sha256)


def _sha256(output: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(output, "<f4").tobytes()).hexdigest()
