"""Keeps what libraries print off the screen and in a log file, C++ code and warnings included."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

STANDARD_STREAMS = ("stdout", "stderr")


@contextmanager
def quiet_libraries(log: Path) -> Iterator[TextIO]:
    """Sends everything that is printed to ``log`` and gives the stream that still reaches the user's standard output.

    Streams without a file descriptor of their own (a test's buffer) are left alone.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", buffering=1, encoding="utf-8") as file, warnings.catch_warnings():
        warnings.simplefilter("default")
        saved = {name: os.dup(number) for name in STANDARD_STREAMS if (number := _descriptor(getattr(sys, name))) is not None}
        screen = os.fdopen(os.dup(saved["stdout"]), "w", buffering=1, encoding="utf-8") if "stdout" in saved else sys.stdout
        try:
            for name in saved:
                getattr(sys, name).flush()
                os.dup2(file.fileno(), getattr(sys, name).fileno())
            yield screen
        finally:
            for name, descriptor in saved.items():
                getattr(sys, name).flush()
                os.dup2(descriptor, getattr(sys, name).fileno())
                os.close(descriptor)
            # Last, because it fails if nobody reads the standard output any more.
            screen.flush()
            if screen is not sys.stdout:
                screen.close()


def _descriptor(stream: object) -> int | None:
    try:
        return stream.fileno()  # type: ignore[union-attr]
    except (AttributeError, OSError, ValueError):
        return None
