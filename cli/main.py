"""The entry point, and its exit codes. Heavy packages are imported inside the commands, so that ``--help`` is quick."""

import errno
import os
import sys
import threading
import traceback
import warnings
from pathlib import Path

import typer

from ..distribution.commands import add_commands
from ..system.disk import explained_disk_errors
from ..system.errors import InstantStyleError
from . import building, painting, tools  # noqa: F401 - they register their commands
from .app import DisguisedError, app
from .defect import memory_sentence, tell_defect, tell_thread_defect

add_commands(app)
WRONG_INPUT, INTERRUPTED, OUTPUT_CLOSED = 2, 130, 141


def main() -> None:
    """Entry point. Exit codes: 0 passed, 1 the gate refused, 2 wrong input, 70 a defect of ours, 130 interrupted, 141 output closed."""
    threading.excepthook = tell_thread_defect
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")  # what libraries warn of is not for this command's user; python -W shows it
        code = _exit_code()
    sys.exit(code)


def _exit_code() -> int:
    code = 0
    try:
        try:
            with explained_disk_errors():
                app()
        except SystemExit as end:
            code = _meant_code(end)
        sys.stdout.flush()
    except InstantStyleError as error:
        print(f"instantstyle: {error}", file=sys.stderr)
        return WRONG_INPUT
    except BrokenPipeError:
        # Or Python would meet the closed pipe again when it ends, and say so.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
        return OUTPUT_CLOSED
    except KeyboardInterrupt:  # typer makes 130 of most
        code = INTERRUPTED
    except Exception as error:
        sentence = memory_sentence(error)
        if sentence is None:
            return tell_defect(error)
        print(f"instantstyle: {sentence}", file=sys.stderr)
        return WRONG_INPUT
    if code == INTERRUPTED:
        print("\ninstantstyle: interrupted; resume by running the same command", file=sys.stderr)
    return code


def _meant_code(end: SystemExit) -> int:
    """The exit code of a command. What else ends the process must not look like one: 1 says that the gate refused.

    Raises:
        BrokenPipeError: a library ended the process because nobody reads its output.
        DisguisedError: a library or a user's module called ``sys.exit``.
    """
    cause = end.__context__
    if isinstance(cause, OSError) and cause.errno == errno.EPIPE:
        raise BrokenPipeError from end
    raised_by = Path([frame.filename for frame in traceback.extract_tb(end.__traceback__)][-1])
    if not raised_by.is_relative_to(Path(typer.__file__).parent):
        raise DisguisedError(f"SystemExit with code {end.code}, asked for at {raised_by}") from end
    return end.code if isinstance(end.code, int) else 0
