"""Code of others that raises what it likes: converters, runtimes, targets of other packages."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import InstantStyleError


@contextmanager
def foreign_errors(kind: type[InstantStyleError], what: str) -> Iterator[None]:
    """Turns whatever is raised inside into one sentence; the traceback goes to standard error, which a build writes to its log.

    Our own errors pass.

    Args:
        kind: of the sentence.
        what: what could not be done, and to what.
    """
    try:
        yield
    except InstantStyleError:
        raise
    except Exception as error:
        traceback.print_exc()
        lines = str(error).strip().splitlines() or ["no reason given"]
        raise kind(f"{what}: {type(error).__name__}: {lines[0]}") from error
