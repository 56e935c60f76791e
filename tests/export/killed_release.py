"""Runs releases that are killed with SIGKILL at given events, in forks of a process that imported everything once.

Usage: killed_release.py RECIPE OUT CACHE EVENT…, an event being ``name:stage`` or ``name:stage:done`` as in the JSON lines, ``-`` for none.
Prints a line of JSON for each: the signal that ended it or its exit code, and the stages' outcomes.
"""

import json
import os
import signal
import sys
import traceback
from pathlib import Path

import torch

from instantstyle.export.release import ReleaseOptions, release
from instantstyle.system import progress
from instantstyle.system.events import Event


def run(recipe: Path, out: Path, cache: Path, fatal: str, log: Path) -> None:
    show = progress.JsonDisplay.show

    def fatally(self: progress.JsonDisplay, event: Event) -> None:
        show(self, event)
        parts = (self.NAMES[type(event)], getattr(event, "stage", ""), str(getattr(event, "done", "")))
        name = ":".join(filter(None, parts))
        if name == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    progress.JsonDisplay.show = fatally  # type: ignore[method-assign]
    torch.set_num_threads(1)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os._exit(release(ReleaseOptions(recipe, out, cache=cache, as_json=True)))


def main() -> None:
    recipe, out, cache = map(Path, sys.argv[1:4])
    for number, fatal in enumerate(sys.argv[4:]):
        log = recipe.parent / f"events{number}.jsonl"
        child = os.fork()
        if child == 0:
            try:
                run(recipe, out, cache, fatal, log)
            except BaseException:
                traceback.print_exc()
                os._exit(99)
        status = os.waitpid(child, 0)[1]
        ended = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        events = [json.loads(line) for line in log.read_text().splitlines()]
        steps = [event["done"] for event in events if event["event"] == "progress" and event["stage"] == "qat"]
        outcomes = {f"{e['stage']} {e['subject']}".strip(): e["outcome"] for e in events if e["event"] == "stage_end"}
        print(json.dumps({"ended": ended, "qat_steps": steps, "outcomes": outcomes, "dist": out.exists()}), flush=True)


if __name__ == "__main__":
    main()
