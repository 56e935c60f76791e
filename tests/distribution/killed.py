"""Kills pulls or publications at random moments, in children of this process, and looks at what they left after each. Prints counts.

Run as ``python killed.py pull|publish COUNT SEED CONFIGURATION``, the configuration in JSON.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from instantstyle.distribution.index import blob_path, index_path, open_index
from instantstyle.distribution.pull import PullOptions, pull
from instantstyle.distribution.registry import publish
from instantstyle.distribution.signing import require_signing
from instantstyle.system.hashing import file_sha256


def killed(work: Callable[[], object], moment_s: float) -> bool:
    """Whether a child was killed before it had done its work."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    time.sleep(moment_s)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) and os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit("the work failed by itself")
    return os.WIFSIGNALED(status)


def duration_s(work: Callable[[], object]) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start


def content(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in folder.rglob("*") if path.is_file()}


def kill_pulls(count: int, generator: random.Random, setup: dict[str, Any]) -> dict[str, int]:
    """Between two versions, to and fro: after every kill the folder is one of them, whole."""
    app, key = Path(setup["app"]), Path(setup["public"])

    def work(version: str) -> Callable[[], object]:
        return lambda: pull(PullOptions(f"painter@{version}", setup["target"], setup["registry"], app, key))

    whole: dict[str, dict[str, str]] = {}
    for version in ("1.0.0", "1.1.0"):
        work(version)()
        whole[version] = content(app)
    usual = max(duration_s(work(version)) for version in ("1.0.0", "1.1.0"))
    counts = {"killed": 0, "finished": 0, "old": 0, "new": 0}
    there = wanted = "1.1.0"
    for _ in range(count):
        wanted = "1.0.0" if there == "1.1.0" else "1.1.0"
        was_killed = killed(work(wanted), generator.uniform(0, usual))
        counts["killed" if was_killed else "finished"] += 1
        found = content(app)
        versions = [version for version, files in whole.items() if files == found]
        if len(versions) != 1:
            raise SystemExit(f"the folder is no version: {sorted(found)}")
        counts["new" if versions == [wanted] else "old"] += 1
        there = versions[0]
    work(wanted)()
    if content(app) != whole[wanted] or [path.name for path in app.parent.iterdir()] != [app.name]:
        raise SystemExit("the last pull left something behind")
    return counts


def kill_publications(count: int, generator: random.Random, setup: dict[str, Any]) -> dict[str, int]:
    """After every kill the registry has no index, or one whose signature holds and whose files are all there."""
    registry, dist = Path(setup["registry"]), Path(setup["dist"])
    private, public = Path(setup["private"]), Path(setup["public"])

    def work(number: int) -> Callable[[], object]:
        return lambda: publish(dist, registry, version=f"1.0.{number}", channel="stable", private=private)

    usual = duration_s(work(0))
    counts = {"killed": 0, "finished": 0, "old": 0, "new": 0}
    for number in range(1, count + 1):
        if number % 2:
            shutil.rmtree(registry, ignore_errors=True)
        before = versions(registry, public)
        was_killed = killed(work(number), generator.uniform(0, usual))
        counts["killed" if was_killed else "finished"] += 1
        after = versions(registry, public)
        if after not in (before, [*before, f"1.0.{number}"]):
            raise SystemExit(f"versions {before} became {after}")
        counts["new" if after != before else "old"] += 1
    work(count + 1)()
    if list(registry.rglob(".*")):
        raise SystemExit("the last publication left something behind")
    return counts


def versions(registry: Path, public: Path) -> list[str]:
    """Of the index, all of whose files are there."""
    path = registry / index_path("painter")
    if not path.exists():
        return []
    index = open_index(path.read_bytes(), public, "painter", str(path))
    for version in index.versions:
        for file in version.bundle:
            if file_sha256(registry / blob_path(file.sha256)) != file.sha256:
                raise SystemExit(f"{version.version} has no {file.path}")
    return [version.version for version in index.versions]


if __name__ == "__main__":
    what, count, seed, configuration = sys.argv[1:]
    require_signing()
    kill = kill_pulls if what == "pull" else kill_publications
    print(json.dumps(kill(int(count), random.Random(int(seed)), json.loads(configuration))))
