"""Kills releases with SIGKILL at random moments: each leaves the old bundle or a new one, whole, and a cache to go on with.

``python benchmarks/killed_releases.py RECIPE FOLDER --kills 100``: the bundle, its cache and undisturbed ones come into FOLDER. A release
that was killed is started again with its cache; one that got to its end is followed by one with an empty cache. Prints counts as JSON;
exit code 1 and a sentence if anything was lost.
"""

import argparse
import json
import math
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from contextlib import redirect_stdout
from pathlib import Path

import torch

from instantstyle.export.release import ReleaseOptions, build, release
from instantstyle.system.errors import InstantStyleError
from instantstyle.system.hashing import file_sha256
from instantstyle.validation.integrity import verify
from instantstyle.validation.results.bundle_file import read_bundle


def contents(folder: Path) -> dict[str, str]:
    """SHA-256 of every file, by path."""
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in folder.rglob("*") if path.is_file()}


def artifacts(dist: Path) -> dict[str, str]:
    """SHA-256 of what every undisturbed build of one recipe has the same bytes of: the graphs."""
    return {path: found for path, found in contents(dist).items() if path.endswith(".onnx")}


def start(recipe: Path, folder: Path) -> int:
    """The process of a release."""
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        torch.set_num_threads(1)
        with (folder / "output").open("wb") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        code = release(ReleaseOptions(recipe, folder / "dist", cache=folder / "cache", as_json=True))
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def end(child: int, moment_s: float) -> int:
    """Kills a process at that moment, unless it ends before; its status."""
    last = time.monotonic() + moment_s
    while time.monotonic() < last:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return status
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def check(dist: Path, before: dict[str, str], where: str) -> str:
    """Which bundle there is after a kill."""
    if not dist.exists():
        if before:
            sys.exit(f"{where}: the old bundle is gone")
        return "none"
    if contents(dist) == before:
        return "old"
    try:
        verify(read_bundle(dist), dist)
    except InstantStyleError as error:
        sys.exit(f"{where}: the bundle is neither the old one nor whole: {error}")
    return "new"


def main() -> None:
    """Kills and counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=13)
    given = parser.parse_args()
    whole, timed, folder = (given.folder / name for name in ("whole", "timed", "killed"))
    for each in (whole, timed, folder):
        each.mkdir(parents=True)
    # In this process, so that the forks that follow have imported everything: they are killed at work, not at imports.
    torch.set_num_threads(1)
    with redirect_stdout(sys.stderr):
        build(ReleaseOptions(given.recipe, whole / "dist", cache=whole / "cache", as_json=True))
    began = time.monotonic()
    status = end(start(given.recipe, timed), math.inf)
    usual_s = time.monotonic() - began
    if os.waitstatus_to_exitcode(status) not in (0, 1):  # 1: the gate's verdict on speeds, which is no matter here
        sys.exit(f"the undisturbed release failed: {(timed / 'output').read_text()[-2000:]}")
    generator, counts, before = random.Random(given.seed), Counter[str](), dict[str, str]()
    while counts["killed"] < given.kills:
        moment_s = generator.uniform(0, usual_s)
        child = start(given.recipe, folder)
        status = end(child, moment_s)
        was_killed = os.WIFSIGNALED(status)
        where = f"kill {counts['killed'] + 1}, {moment_s:.2f} of {usual_s:.1f} s after the start"
        if not was_killed and os.waitstatus_to_exitcode(status) not in (0, 1):
            sys.exit(f"{where}: the release failed: {(folder / 'output').read_text()[-2000:]}")
        found = check(folder / "dist", before, where)
        counts["killed" if was_killed else "finished"] += 1
        if was_killed:
            counts[f"{found} bundle after a kill"] += 1
        else:
            if artifacts(folder / "dist") != artifacts(whole / "dist"):
                sys.exit(f"{where}: what was built in pieces has other graphs than what was built in one")
            shutil.rmtree(folder / "cache")
        print(f"{where}: {'killed' if was_killed else 'was done'}, {found} bundle", file=sys.stderr, flush=True)
        if found != "old":
            before = contents(folder / "dist") if found == "new" else {}
    _, status = os.waitpid(start(given.recipe, folder), 0)
    if os.waitstatus_to_exitcode(status) not in (0, 1) or artifacts(folder / "dist") != artifacts(whole / "dist"):
        sys.exit(f"the last release did not end as the undisturbed one: {(folder / 'output').read_text()[-2000:]}")
    left = sorted(path.name for path in folder.iterdir() if path.name not in ("dist", "cache", "output"))
    left += [path.name for path in (folder / "cache/work").iterdir()]
    if left:
        sys.exit(f"left behind: {', '.join(left)}")
    print(json.dumps({"undisturbed_s": round(usual_s, 1), **counts}))


if __name__ == "__main__":
    main()
