"""What the command line says of an error that nobody foresaw: one line, exit code 70, and a file with the traceback."""

import datetime
import importlib.metadata
import os
import platform
import sys
import tempfile
import threading
import traceback
from pathlib import Path

EXIT_DEFECT = 70  # EX_SOFTWARE of sysexits.h
FOLDER = Path(".instantstyle")
MESSAGE_CHARACTERS = 300
OUT_OF_MEMORY = ("can't allocate memory", "out of memory")


def tell_defect(error: BaseException) -> int:
    """Writes the traceback to a file, names it on standard error, and gives the exit code."""
    lines = str(error).strip().splitlines()
    what = f"{type(error).__name__}: {lines[0][:MESSAGE_CHARACTERS]}" if lines else type(error).__name__
    log = _write(error)
    where = f"the traceback is in {log}" if log else "no file could be written for the traceback"
    print(f"instantstyle: {what}. This is a defect of instantstyle; please report it: {where}", file=sys.stderr)
    return EXIT_DEFECT


def tell_thread_defect(arguments: threading.ExceptHookArgs) -> None:
    """``threading.excepthook``: the same for an error that ends a thread."""
    if arguments.exc_value is not None and not isinstance(arguments.exc_value, SystemExit):
        tell_defect(arguments.exc_value)


def memory_sentence(error: BaseException) -> str | None:
    """What to do about an error that says that memory ran out; None for others."""
    torn = isinstance(error, RuntimeError) and any(sign in str(error) for sign in OUT_OF_MEMORY)
    if not torn and not isinstance(error, MemoryError):
        return None
    detail = (str(error).strip() or "MemoryError").splitlines()[0][:MESSAGE_CHARACTERS]
    return f"out of memory ({detail}). Close other programs, or use smaller sizes, crops or batches; the same command goes on"


def _write(error: BaseException) -> Path | None:
    now = datetime.datetime.now(datetime.UTC)
    head = (
        f"instantstyle {importlib.metadata.version('instantstyle')}, Python {platform.python_version()}, {platform.platform()}",
        f"{now:%Y-%m-%d %H:%M:%S} UTC, in {Path.cwd()}",
        f"command: {' '.join(sys.argv)}",
        "",
    )
    content = "\n".join((*head, "".join(traceback.format_exception(error))))
    for folder in (FOLDER, Path(tempfile.gettempdir())):
        path = folder / f"defect-{now:%Y%m%d-%H%M%S}-{os.getpid()}.log"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8", errors="backslashreplace")
        except OSError:
            continue
        return path
    return None
