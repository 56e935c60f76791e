"""The bar of a download, where somebody looks."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn


@contextmanager
def download_bar() -> Iterator[Callable[[int, int], None]]:
    """Is told the bytes that are there and those that there will be; shows them on a terminal."""
    columns = TextColumn("pull"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("pull", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
