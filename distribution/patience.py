"""How often a transport that failed is tried again."""

import time
from collections.abc import Callable
from typing import TypeVar

from .errors import DownloadError

TRIES = 5  # in a row without any progress
Result = TypeVar("Result")
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0


class TransientError(DownloadError):
    """The transport failed in a way that another attempt may not."""


def patiently(attempt: Callable[[], Result], kept: str = "") -> Result:
    """What an attempt gives that may fail some times.

    Args:
        kept: a sentence on what the failed attempts leave.

    Raises:
        DownloadError: the last of them failed, or one for good.
    """
    failures = 0
    while True:
        try:
            return attempt()
        except TransientError as error:
            failures += 1
            pause_or_give_up(failures, error, kept)


def pause_or_give_up(failures: int, error: TransientError, kept: str = "") -> None:
    """Waits longer after each failure in a row; DownloadError after the last."""
    if failures >= TRIES:
        raise DownloadError(f"{error}; that was the last of {TRIES} attempts. {kept}Try again later") from error
    pause(failures)


def pause(failures: int) -> None:
    """Twice as long after each failure in a row."""
    time.sleep(min(FIRST_PAUSE_S * 2 ** (failures - 1), LONGEST_PAUSE_S))
