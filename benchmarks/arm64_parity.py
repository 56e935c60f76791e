"""``make arm64-parity``: a bundle's golden pairs through ONNX Runtime's own aarch64 build, emulated by qemu, judged by the bundle's limits.

The arithmetic is that of Arm kernels, so quality can be judged; time says nothing, and none is shown. An image of 512x512 takes minutes,
so larger artifacts than ``--largest`` are left out.
"""

import argparse
import io
import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from arm64_guest import LENGTH_BYTES
from arm64_system import CPU, EMULATOR, command, environment, make_system

from instantstyle.distribution.verifying import Outcome, judged, lines
from instantstyle.export.session import DEFAULT_CACHE
from instantstyle.export.stages.replay import runtime
from instantstyle.model.graph import Arrays
from instantstyle.system.errors import ExecutionError, InstantStyleError
from instantstyle.targets.artifact import read_manifest
from instantstyle.targets.base import Artifact, Execution, Runner
from instantstyle.targets.onnx.runner import PROVIDER, SESSION_OPTIONS
from instantstyle.targets.registry import get_target
from instantstyle.validation.golden.pairs import FILE, home, read_golden
from instantstyle.validation.golden.replay import file_of, read_replay, replay
from instantstyle.validation.integrity import verify
from instantstyle.validation.measure.built import Built
from instantstyle.validation.results.bundle import BundleArtifact
from instantstyle.validation.results.bundle_file import read_bundle
from instantstyle.validation.results.measurements import Status

TARGETS = ("onnx", "android")
GUEST = Path(__file__).with_name("arm64_guest.py")


class EmulatedRunner(Runner):
    """A graph in a process of the arm64 system."""

    def __init__(self, artifact: Artifact, model: Path, name: str, threads: int, system: Path) -> None:
        super().__init__(artifact.graph(name), artifact.size)
        line = command(system, str(GUEST), str(model), str(threads), json.dumps(SESSION_OPTIONS))
        self._process = subprocess.Popen(
            line, env=environment(system), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._to, self._from = self._process.stdin, self._process.stdout
        first = self._from.readline()
        if not first:
            raise self._failure("cannot be opened")
        self.about: dict[str, object] = json.loads(first)
        if (self.about["machine"], self.about["providers"]) != ("aarch64", [PROVIDER]):
            raise self._failure(f"runs on {self.about}, not on {PROVIDER} of aarch64")
        self.execution = Execution(PROVIDER, 0, 0)

    def _execute(self, inputs: Arrays) -> dict[str, np.ndarray]:
        buffer = io.BytesIO()
        np.savez(buffer, **dict(inputs))  # pyright: ignore[reportArgumentType]
        try:
            self._to.write(len(buffer.getvalue()).to_bytes(LENGTH_BYTES, "little") + buffer.getvalue())
            self._to.flush()
            length = int.from_bytes(self._from.read(LENGTH_BYTES), "little")
            content = self._from.read(length)
        except BrokenPipeError as error:
            raise self._failure("stopped") from error
        if not length or len(content) < length:
            raise self._failure("stopped")
        with np.load(io.BytesIO(content)) as arrays:
            return dict(arrays)

    def _free(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _failure(self, what: str) -> ExecutionError:
        self._process.kill()
        said = self._process.communicate()[1].decode(errors="replace").strip()[-300:]
        return ExecutionError(f"graph '{self._graph.name}': {what} on emulated arm64: {said or 'it said nothing'}")


@dataclass(frozen=True)
class Emulated(Built):
    """An artifact whose graphs run in the arm64 system that lies in ``system``."""

    system: Path

    def open(self, graph: str, threads: int) -> Runner:
        return EmulatedRunner(self.artifact, self.folder / self.artifact.graph(graph).file, graph, threads, self.system)


def parity(folder: Path, system: Path, largest: int, pairs: int | None) -> int:
    """Prints what each artifact did; 0 if all that passed at the build and could be run kept their limits, and any could.

    Args:
        system: where the arm64 system lies, or will.
        largest: side of the artifacts that are run, in pixels.
        pairs: how many of the ordinary golden pairs, and of the hard ones; all by default.

    Raises:
        InstantStyleError: the bundle is not what was built, or there is no emulator.
    """
    bundle = read_bundle(folder)
    verify(bundle, folder)
    make_system(system)
    print(f"{folder}: {bundle.model.name} on arm64, emulated by {EMULATOR} -cpu {CPU}; this says nothing about time", flush=True)
    outcomes = []
    for entry in bundle.artifacts:
        why_not = _why_not(entry, folder, largest)
        outcomes.append(
            Outcome(entry.name, executed=False, failures=(), remarks=(why_not,)) if why_not else _run(entry, folder, system, pairs)
        )
        print("\n".join(lines(outcomes[-1])), flush=True)
    ran = [outcome for outcome in outcomes if outcome.executed]
    failed = [outcome.artifact for outcome in ran if outcome.counts and outcome.failures]
    if not ran:
        print("nothing was run, which is no pass")
    else:
        verdict = f"failed: {', '.join(failed)}" if failed else f"{len(ran)} artifacts kept their limits"
        print(f"emulated arm64: {verdict}")
    return int(bool(failed) or not ran)


def _run(entry: BundleArtifact, folder: Path, system: Path, pairs: int | None) -> Outcome:
    place = folder / home(entry.size)
    golden = read_golden(place)
    chosen = [pair for kind in (False, True) for pair in [each for each in golden.pairs if each.hard is kind][:pairs]]
    built = Emulated(read_manifest(folder / entry.folder), folder / entry.folder, get_target(entry.target), system)
    machine = replace(runtime(), cpu="emulated", system="Linux aarch64, emulated")
    counts = entry.status in (Status.PASSED, Status.UNDECIDED)
    try:
        now = replay(replace(golden, pairs=tuple(chosen)), place, built, machine)
    except ExecutionError as error:
        return Outcome(entry.name, executed=True, failures=(str(error),), remarks=(), counts=counts)
    return replace(judged(entry, now, read_replay(folder / file_of(entry.name))), counts=counts)


def _why_not(entry: BundleArtifact, folder: Path, largest: int) -> str:
    if not entry.folder or entry.target not in TARGETS:
        return f"only artifacts of {' and '.join(TARGETS)} run on ONNX Runtime"
    if max(entry.size) > largest:
        return f"larger than {largest} pixels, which takes minutes a pair; --largest {max(entry.size)} runs it, --pairs 2 fewer of them"
    if not (folder / home(entry.size) / FILE).is_file() or not read_golden(folder / home(entry.size)).pairs:
        return "the bundle has no golden pairs of its size"
    return ""


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--largest", type=int, default=128, help="side of the artifacts that are run, in pixels")
    parser.add_argument("--pairs", type=int, help="of ordinary and of hard golden pairs; default: all")
    parser.add_argument("--system", type=Path, default=DEFAULT_CACHE.parent / "arm64", help="folder for the arm64 system")
    given = parser.parse_args()
    try:
        sys.exit(parity(given.bundle, given.system.absolute(), given.largest, given.pairs))
    except InstantStyleError as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
