"""A question to a fresh Python process: ``python -m instantstyle.system.child`` is that process.

What it measures does not depend on what this process did before. The question and its answer travel as pickles, which is safe here: both
ends are this program.
"""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from .errors import ExecutionError

TIMEOUT_SECONDS = 600
Answer = TypeVar("Answer")


def ask(question: Callable[[], Answer], name: str, purpose: str) -> Answer:
    """What ``question`` returns in a process of its own.

    Args:
        question: can be pickled, its answer as well; importable where it was defined.
        name: of the artifact, for messages.
        purpose: what the process does, as it stands in a sentence: ``measures its memory``.

    Raises:
        ExecutionError: the process crashed or took too long; has the last line that it printed, the log has the rest.
    """
    path = os.pathsep.join(entry for entry in sys.path if entry)  # the child imports from where this process does
    try:
        child = subprocess.run(
            [sys.executable, "-P", "-m", __name__],
            input=pickle.dumps(question),
            capture_output=True,
            env={**os.environ, "PYTHONPATH": path},
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ExecutionError(f"{name}: the process that {purpose} took more than {TIMEOUT_SECONDS} s") from error
    if child.returncode != 0:
        printed = child.stderr.decode(errors="replace").strip()
        print(printed, file=sys.stderr)  # goes to the log
        last = (printed.splitlines() or ["no output"])[-1]
        raise ExecutionError(f"{name}: the process that {purpose} ended with code {child.returncode}: {last}")
    return pickle.loads(child.stdout)


def serve() -> None:
    """The child: what the runtime prints goes to standard error, the answer alone to standard output."""
    with os.fdopen(os.dup(1), "wb") as answer_to:
        os.dup2(2, 1)
        question: Callable[[], Any] = pickle.load(sys.stdin.buffer)
        pickle.dump(question(), answer_to)


if __name__ == "__main__":
    serve()
