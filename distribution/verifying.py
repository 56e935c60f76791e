"""``instantstyle verify``: whether a bundle is what its owner signed, and whether it still does here what it did where it was built."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from ..export.stages.replay import runtime
from ..recipe.recipe import Recipe, parse_recipe
from ..system.errors import ExecutionError, TargetUnavailableError
from ..targets.artifact import read_manifest
from ..targets.registry import get_target
from ..validation.golden.pairs import FILE, home, read_golden
from ..validation.golden.replay import Replay, file_of, judge_replay, other_bits, read_replay, replay
from ..validation.integrity import verify
from ..validation.judge.levels import LEVELS
from ..validation.measure.built import Built
from ..validation.results.bundle import RECIPE, Bundle, BundleArtifact
from ..validation.results.bundle_file import read_bundle
from .keys import key_id, public_key
from .signing import verify_folder


@dataclass(frozen=True)
class Outcome:
    """What became of one artifact's golden pairs.

    Attributes:
        artifact: its name.
        executed: whether any pair ran here.
        failures: what missed a limit, as sentences.
        remarks: what a reader should know besides.
        counts: whether it passed at the build, so that a failure here is one of the release.
    """

    artifact: str
    executed: bool
    failures: tuple[str, ...]
    remarks: tuple[str, ...]
    counts: bool = True


def verified_bundle(folder: Path, public: Path) -> Bundle:
    """The bundle in a folder, once its signature, its files and what it says about them hold. Nothing of it is loaded or executed.

    Raises:
        SignatureError: it is not what the key's owner signed.
        ArtifactError: it was signed, and contradicts itself.
    """
    verify_folder(folder, public)
    bundle = read_bundle(folder)
    verify(bundle, folder)
    return bundle


def verify_bundle(folder: Path, public: Path, signature_only: bool, console: Console | None = None) -> int:
    """Prints what holds, and gives the exit code: 0 if signature and hashes hold and all golden pairs that can run here keep the limits.

    Args:
        signature_only: golden pairs are not run; without it, a bundle of which nothing could be run here has not passed.

    Raises:
        SignatureError, ArtifactError: as ``verified_bundle``.
    """
    screen = console or Console()
    bundle = verified_bundle(folder, public)
    key = key_id(public_key(public))[:12]
    screen.print(f"{folder}: {bundle.model.name}, recipe {bundle.recipe.name}, built {bundle.created:%Y-%m-%d %H:%M} UTC", highlight=False)
    screen.print(f"signature of key {key}… and the SHA-256 of {len(bundle.files) + 1} files hold", highlight=False)
    if signature_only:
        screen.print("golden pairs were not run: --signature-only", highlight=False)
        return 0
    outcomes = list(replay_all(bundle, folder))
    for outcome in outcomes:
        for line in lines(outcome):
            screen.print(line, highlight=False, markup=False, soft_wrap=True)
    counted = [outcome for outcome in outcomes if outcome.counts]
    executed = [outcome for outcome in counted if outcome.executed]
    if not executed:
        screen.print("not verified: no golden pair could be run here; --signature-only asks for signature and hashes alone", soft_wrap=True)
        return 1
    failed = [outcome.artifact for outcome in counted if outcome.failures]
    ran = f"{len(executed)} of {len(counted)} artifacts that passed at the build were run here"
    screen.print(f"failed: {', '.join(failed)}" if failed else f"verified: {ran}")
    return 1 if failed else 0


def replay_all(bundle: Bundle, folder: Path) -> Iterator[Outcome]:
    """The golden pairs of a verified bundle through each of its artifacts."""
    recipe = parse_recipe(folder / RECIPE)
    for artifact in bundle.artifacts:
        if artifact.folder:
            yield replace(_replay(artifact, recipe, folder), counts=artifact.status in LEVELS)


def _replay(entry: BundleArtifact, recipe: Recipe, folder: Path) -> Outcome:
    pairs = folder / home(entry.size)
    if not (pairs / FILE).is_file():
        return _not_run(entry, "the bundle has no golden pairs of its size")
    golden = read_golden(pairs)
    if not golden.pairs:
        return _not_run(entry, f"it has no golden pairs: {golden.reason}")
    try:
        target = get_target(entry.target).configured(recipe.targets.options.get(entry.target, {}))
        available = target.availability()
        if not available.can_run:
            return _not_run(entry, f"not executed here: {available.reason}")
        home_folder = folder / entry.folder
        built = Built(read_manifest(home_folder), home_folder, target).on(target.units()[0])
        now = replay(golden, pairs, built, runtime())
    except TargetUnavailableError as error:
        return _not_run(entry, f"not executed here: {error}")
    except ExecutionError as error:
        return Outcome(entry.name, executed=True, failures=(str(error),), remarks=())
    return judged(entry, now, read_replay(folder / file_of(entry.name)))


def judged(entry: BundleArtifact, now: Replay, then: Replay | None) -> Outcome:
    """What an artifact's limits say of its golden pairs now, and how that compares with the build's replay."""
    failures = list(judge_replay(now, entry.limits))
    ordinary, hard = (min((each.ssim for each in now.results if each.hard is kind), default=float("nan")) for kind in (False, True))
    remarks = [f"{len(now.results)} golden pairs, SSIM at least {ordinary:.4f}, of the hard ones {hard:.4f}"]
    if then is None:
        remarks.append("the build did not run them, so there is nothing to compare bits with")
        return Outcome(entry.name, executed=True, failures=tuple(failures), remarks=tuple(remarks))
    differences, changed = then.runtime.differences(now.runtime), other_bits(now, then)
    if differences:
        remarks.append(f"judged by SSIM, not by bits, because of {'; '.join(differences)}")
    elif changed:
        failures.append(f"'{changed[0]}': other bits than at the build, with the same processor and the same libraries")
    else:
        remarks.append("bit for bit what the build gave")
    before = {each.pair: each.ssim for each in then.results}
    drift = max(((abs(before[each.pair] - each.ssim), each.pair) for each in now.results if each.pair in before), default=(0.0, ""))
    if drift[0] > 0:
        remarks.append(f"furthest from the build's SSIM: '{drift[1]}' by {drift[0]:.4f}")
    return Outcome(entry.name, executed=True, failures=tuple(failures), remarks=tuple(remarks))


def _not_run(entry: BundleArtifact, why: str) -> Outcome:
    return Outcome(entry.name, executed=False, failures=(), remarks=(why,))


def lines(outcome: Outcome) -> Iterator[str]:
    """An outcome for the screen."""
    verdict = "failed" if outcome.failures else "kept its limits" if outcome.executed else "not run"
    yield f"{outcome.artifact}: {verdict}{'' if outcome.counts else '; it did not pass at the build, and does not count'}"
    yield from (f"  {sentence}" for sentence in (*outcome.failures, *outcome.remarks))
