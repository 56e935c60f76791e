"""How a build shows what it does: a bar on a terminal, lines in a log, JSON for machines."""

import html
import json
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from .events import ArtifactReady, BuildEnd, Event, Notice, StageEnd, StageStart, Step, VerdictReady, sentence, title
from .silence import in_notebook

# done, total, a short note such as "loss 0.0123"
ReportProgress = Callable[[int, int, str], None]
PLAIN_INTERVAL_SECONDS = 10.0
NOTEBOOK_INTERVAL_SECONDS = 0.25


class Display(ABC):
    """Shows events. A context manager; ``suspended`` leaves the screen to a report of several lines."""

    @abstractmethod
    def show(self, event: Event) -> None:
        """Shows one event."""

    def close(self) -> None:  # noqa: B027 - most displays hold nothing
        """Leaves the screen in order."""

    @contextmanager
    def stage(self, stage: str, subject: str = "") -> Iterator[ReportProgress]:
        """A stage that runs now: start, its steps, end. If it raises, no end is shown."""
        self.show(StageStart(stage, subject))
        start = time.monotonic()
        yield lambda done, total, note: self.show(Step(stage, subject, done, total, note))
        self.show(StageEnd(stage, subject, "done", time.monotonic() - start))

    def notice(self, text: str) -> None:
        """Shows a Notice."""
        self.show(Notice(text))


class JsonDisplay(Display):
    """One JSON object a line: ``event`` and the event's fields."""

    NAMES = {
        StageStart: "stage_start",
        Step: "progress",
        StageEnd: "stage_end",
        ArtifactReady: "artifact",
        VerdictReady: "verdict",
        Notice: "notice",
        BuildEnd: "build_end",
    }

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def show(self, event: Event) -> None:
        print(json.dumps({"event": self.NAMES[type(event)], **asdict(event)}), file=self.stream, flush=True)


class PlainDisplay(Display):
    """Lines for a log: one a stage, and one each ten seconds while it lasts."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._last_step = 0.0

    def show(self, event: Event) -> None:
        if isinstance(event, StageStart):
            self._last_step = time.monotonic()
        if isinstance(event, Step):
            if time.monotonic() - self._last_step < PLAIN_INTERVAL_SECONDS:
                return
            self._last_step = time.monotonic()
        line = sentence(event)
        if line:
            print(line, file=self.stream, flush=True)


class TerminalDisplay(Display):
    """Lines as above, and a bar with the time left under them."""

    def __init__(self, stream: TextIO) -> None:
        self.console = Console(file=stream, highlight=False)
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
        )  # fmt: skip
        self.bars = Progress(*columns, console=self.console, transient=True)
        self.bars.start()
        self._task: TaskID | None = None

    def show(self, event: Event) -> None:
        if isinstance(event, StageStart):
            self._drop_bar()
            self._task = self.bars.add_task(title(event.stage, event.subject), total=None, note="")
        elif isinstance(event, Step):
            if self._task is not None:
                self.bars.update(self._task, completed=event.done, total=event.total or None, note=event.note)
        else:
            if isinstance(event, StageEnd | BuildEnd):
                self._drop_bar()
            line = sentence(event)
            if line:
                self.console.print(line, style=_style(event), markup=False, soft_wrap=True)

    def close(self) -> None:
        self._drop_bar()
        self.bars.stop()

    def _drop_bar(self) -> None:
        if self._task is not None:
            self.bars.remove_task(self._task)
            self._task = None


class NotebookDisplay(Display):
    """The lines of a build and a bar, in one output of a cell that is drawn anew; the lines stay when the build is over."""

    def __init__(self) -> None:
        from IPython.display import display

        self._lines: list[str] = []
        self._running = ""
        self._drawn = 0.0
        self._output: Any = display(self._content(), raw=True, display_id=True)

    def show(self, event: Event) -> None:
        if isinstance(event, StageStart):
            self._running = title(event.stage, event.subject)
            self._draw(_bar(self._running, None))
        elif isinstance(event, Step):
            if time.monotonic() - self._drawn >= NOTEBOOK_INTERVAL_SECONDS:
                note = f"{event.count} {event.note}".rstrip()
                self._draw(_bar(f"{title(event.stage, event.subject)} {note}", event.done / max(event.total, 1)))
        elif line := sentence(event):
            self._lines.append(line)
            self._draw("" if isinstance(event, StageEnd | BuildEnd) else _bar(self._running, None))

    def close(self) -> None:
        self._draw()

    def _draw(self, bar: str = "") -> None:
        self._drawn = time.monotonic()
        self._output.update(self._content(bar), raw=True)

    def _content(self, bar: str = "") -> dict[str, str]:
        """One output in both forms that notebooks show."""
        text = "\n".join(self._lines)
        return {"text/plain": text, "text/html": f'<pre style="line-height: 1.2">{html.escape(text)}</pre>{bar}'}


def _bar(text: str, share: float | None) -> str:
    """A progress bar in HTML; one without a share is on its way to an unknown end."""
    value = "" if share is None else f' value="{share:.3f}"'
    return f"<progress{value}></progress> <code>{html.escape(text)}</code>"


def make_display(as_json: bool, stream: TextIO | None = None) -> Display:
    """JSON lines if asked for, a bar on a terminal or in a notebook, else plain lines, as where ``CI`` is set; ``NO_COLOR`` is obeyed."""
    out = sys.stdout if stream is None else stream
    if as_json:
        return JsonDisplay(out)
    if in_notebook(out):
        return NotebookDisplay()
    return TerminalDisplay(out) if out.isatty() and not os.environ.get("CI") else PlainDisplay(out)


def _style(event: Event) -> str | None:
    if isinstance(event, VerdictReady):
        return {"passed": "green", "failed": "red"}.get(event.status, "yellow")
    return "dim" if isinstance(event, StageEnd) and event.outcome != "done" else None
