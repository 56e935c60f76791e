"""Keeps what libraries print off the screen: dropped, or in a log file, C++ code and warnings included."""

import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TextIO

STANDARD_STREAMS = ("stdout", "stderr")


@contextmanager
def silence(native: bool = False) -> Iterator[None]:
    """Drops what is printed, warned or logged below ERROR inside the block. Exceptions pass.

    Args:
        native: what compiled code writes to the standard streams past Python, too.
    """
    level = logging.root.manager.disable
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), ExitStack() as stack:
        if native:
            stack.enter_context(_standard_streams_dropped())
        warnings.simplefilter("ignore")
        logging.disable(max(level, logging.WARNING))
        try:
            yield
        finally:
            logging.disable(level)


@contextmanager
def quiet_libraries(log: Path) -> Iterator[TextIO]:
    """Sends everything that is printed to ``log`` and gives the stream that still reaches the user's standard output.

    Streams without a file descriptor of their own (a test's buffer) are left alone. A notebook has nothing of the sort: the descriptors
    of its streams are those of the terminal that it was started from, and what builds show there is no text (``NotebookDisplay``).
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", buffering=1, encoding="utf-8") as file, warnings.catch_warnings():
        warnings.simplefilter("default")
        if in_notebook(sys.stdout):
            with _redirected({"stdout": 1, "stderr": 2}, file), _written_to(file):
                yield sys.stdout
            return
        descriptors = {name: number for name in STANDARD_STREAMS if (number := _descriptor(getattr(sys, name))) is not None}
        screen = os.fdopen(os.dup(descriptors["stdout"]), "w", buffering=1, encoding="utf-8") if "stdout" in descriptors else sys.stdout
        try:
            with _redirected(descriptors, file):
                yield screen
        finally:
            # Last, because it fails if nobody reads the standard output any more.
            screen.flush()
            if screen is not sys.stdout:
                screen.close()


@contextmanager
def _standard_streams_dropped() -> Iterator[None]:
    kept, nothing = {number: os.dup(number) for number in (1, 2)}, os.open(os.devnull, os.O_WRONLY)
    try:
        for number in kept:
            os.dup2(nothing, number)
        yield
    finally:
        for number, copy in kept.items():
            os.dup2(copy, number)
            os.close(copy)
        os.close(nothing)


@contextmanager
def _redirected(descriptors: Mapping[str, int], file: TextIO) -> Iterator[None]:
    """What is written to the descriptors of the standard streams goes to ``file``."""
    saved = {name: os.dup(number) for name, number in descriptors.items()}
    try:
        for name, number in descriptors.items():
            getattr(sys, name).flush()
            os.dup2(file.fileno(), number)
        yield
    finally:
        for name, descriptor in saved.items():
            getattr(sys, name).flush()
            os.dup2(descriptor, descriptors[name])
            os.close(descriptor)


@contextmanager
def _written_to(file: TextIO) -> Iterator[None]:
    """A notebook's streams write to ``file``: these very objects, because handlers of loggers have kept them."""
    streams = (sys.stdout, sys.stderr)
    try:
        for stream in streams:
            stream.write = file.write
        yield
    finally:
        for stream in streams:
            del stream.write


def in_notebook(stream: object) -> bool:
    """Whether a stream is that of a Jupyter kernel."""
    return type(stream).__module__.partition(".")[0] == "ipykernel"


def _descriptor(stream: object) -> int | None:
    try:
        return stream.fileno()  # type: ignore[union-attr]
    except (AttributeError, OSError, ValueError):
        return None
