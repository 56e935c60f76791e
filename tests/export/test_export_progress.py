"""What a build prints: bars on terminals, lines in logs, JSON for machines; libraries only reach the log file."""

import io
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

from instantstyle.system import progress
from instantstyle.system.events import ArtifactReady, BuildEnd, StageEnd, Step, VerdictReady, sentence
from instantstyle.system.progress import JsonDisplay, PlainDisplay, TerminalDisplay, make_display
from instantstyle.system.silence import quiet_libraries


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def build(display: progress.Display) -> None:
    with display.stage("qat", "") as report:
        for step in range(1, 4):
            report(step, 3, f"loss 0.{step}")
    display.show(StageEnd("capture", "int8 64x64", "reused", 0.0, "abc"))
    display.show(ArtifactReady("android-int8-64x64", 12345))
    display.show(VerdictReady("android-int8-64x64", "failed", True, ("min_ssim_mean: 0.97 instead of 0.98",)))
    display.notice("look")
    display.show(BuildEnd(1, 2.5, "refused"))


def test_json_lines() -> None:
    stream = io.StringIO()
    build(JsonDisplay(stream))
    rows = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [row["event"] for row in rows] == (
        ["stage_start", "progress", "progress", "progress", "stage_end", "stage_end", "artifact", "verdict", "notice", "build_end"]
    )
    assert rows[2] == {"event": "progress", "stage": "qat", "subject": "", "done": 2, "total": 3, "note": "loss 0.2"}
    assert rows[5]["outcome"] == "reused"
    assert rows[7] == {
        "event": "verdict",
        "artifact": "android-int8-64x64",
        "status": "failed",
        "required": True,
        "reasons": ["min_ssim_mean: 0.97 instead of 0.98"],
    }
    assert rows[9]["exit_code"] == 1


def test_a_stage_whose_end_is_not_known_counts_without_it() -> None:
    assert [sentence(Step("plan", "", 27, total, "float")) for total in (0, 90)] == ["  plan 27 float", "  plan 27/90 float"]


def test_plain_lines_one_a_stage_and_one_each_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    stream = io.StringIO()
    display = PlainDisplay(stream)
    with display.stage("qat", "") as report:
        for step in range(1, 11):
            report(step, 10, "")
    lines = stream.getvalue().splitlines()
    # The clock advances 4 s at each look: a step is shown at every third look.
    assert 2 <= len(lines) - 1 <= 4
    assert lines[0].startswith("  qat ")
    assert lines[-1].split()[0] == "qat"


def test_a_stage_that_fails_shows_no_end() -> None:
    stream = io.StringIO()
    with pytest.raises(ZeroDivisionError), JsonDisplay(stream).stage("qat"):
        raise ZeroDivisionError
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["stage_start"]


def test_terminal_shows_the_same_lines() -> None:
    stream = Terminal()
    display = TerminalDisplay(stream)
    build(display)
    display.close()
    for text in ("qat", "capture int8 64x64", "android-int8-64x64: 12,345 bytes", "failed (required)", "refused (2.5 s)"):
        assert text in stream.getvalue()


def test_the_display_suits_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    assert isinstance(make_display(True, Terminal()), JsonDisplay)
    assert isinstance(make_display(False, io.StringIO()), PlainDisplay)
    display = make_display(False, Terminal())
    assert isinstance(display, TerminalDisplay)
    display.close()
    monkeypatch.setenv("CI", "true")
    assert isinstance(make_display(False, Terminal()), PlainDisplay)


def test_no_color_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    display = TerminalDisplay(stream)
    display.show(VerdictReady("a", "failed", True, ()))
    display.close()
    assert "\x1b[31m" not in stream.getvalue()


def test_libraries_print_into_the_log_only(tmp_path: Path) -> None:
    script = f"""
import os, sys, warnings
from pathlib import Path
from instantstyle.system.events import ArtifactReady, BuildEnd, StageEnd, Step, VerdictReady, sentence
from instantstyle.system.silence import quiet_libraries
with quiet_libraries(Path({str(tmp_path / "build.log")!r})) as screen:
    print("python print")
    os.write(1, b"native print\\n")
    os.write(2, b"native error\\n")
    warnings.warn("a warning")
    print("for the user", file=screen)
print("after")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "for the user\nafter\n"
    assert done.stderr == ""
    log = (tmp_path / "build.log").read_text()
    for text in ("python print", "native print", "native error", "a warning"):
        assert text in log


def test_a_buffer_instead_of_a_stream_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.StringIO()
    monkeypatch.setattr(sys, "stdout", buffer)
    with quiet_libraries(tmp_path / "build.log") as screen, warnings.catch_warnings():
        print("hello", file=screen)
    assert buffer.getvalue() == "hello\n"
    assert os.path.exists(tmp_path / "build.log")


CELL = """
import logging, os, sys
from pathlib import Path
from instantstyle.system.events import StageEnd
from instantstyle.system.progress import make_display
from instantstyle.system.silence import quiet_libraries

library = logging.StreamHandler()  # keeps the stream that there was when it was made
with quiet_libraries(Path("build.log")) as screen:
    display = make_display(False, screen)
    print("python print")
    os.write(1, b"native print\\n")
    library.emit(logging.makeLogRecord({"msg": "a logger"}))
    with display.stage("qat") as report:
        report(1, 4, "loss <0.5>")
    with display.stage("calibrate") as report:
        display._drawn = 0.0  # long ago
        report(1, 4, "loss <0.5>")
    display.notice("look <here>")
    display.close()
print("after")
"""


class Watching(NotebookClient):
    """Keeps what an output was on its way to its last form."""

    def __init__(self, drawn: list[str], *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.drawn = drawn

    def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> NotebookNode | None:
        if msg["msg_type"] == "update_display_data":
            self.drawn.append(msg["content"]["data"]["text/html"])
        return super().process_message(msg, cell, cell_index)


def test_a_notebook_shows_one_output_that_is_drawn_anew(tmp_path: Path) -> None:
    """In a real kernel, whose streams' descriptors are not where they write to."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    drawn: list[str] = []
    Watching(drawn, notebook, kernel_name="python3", timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown, printed = notebook.cells[0].outputs
    lines = [line.split() for line in shown.data["text/plain"].splitlines()]
    assert [line[0] for line in lines] == ["qat", "calibrate", "look"]
    assert "look &lt;here&gt;" in shown.data["text/html"] and "<progress" not in shown.data["text/html"]
    assert any('<progress value="0.250"></progress> <code>calibrate 1/4 loss &lt;0.5&gt;</code>' in html for html in drawn)
    assert (printed.name, printed.text) == ("stdout", "after\n")
    log = (tmp_path / "build.log").read_text()
    assert all(text in log for text in ("python print", "native print", "a logger"))
