"""The notebook of the documentation: its outputs are there, its calls are those of the API, and it runs."""

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from execute import executed
from nbformat import NotebookNode

import instantstyle
from instantstyle.export import api

NOTEBOOK = Path(__file__).parents[2] / "docs" / "quickstart.ipynb"
CONTENT = nbformat.read(NOTEBOOK, as_version=4)
CODE = [cell for cell in CONTENT.cells if cell.cell_type == "code"]
MOST_BYTES = 300_000


def outputs(cell: NotebookNode) -> str:
    """Everything of a cell that is text."""
    kept = [str(value) for output in cell.outputs for kind, value in output.get("data", {}).items() if kind.startswith("text/")]
    return "\n".join(kept + [output.get("text", "") for output in cell.outputs])


def cell_with(text: str, content: NotebookNode = CONTENT) -> NotebookNode:
    (found,) = (cell for cell in content.cells if cell.cell_type == "code" and text in cell.source)
    return found


def test_it_is_committed_with_its_outputs_and_small() -> None:
    nbformat.validate(CONTENT)
    assert [cell.execution_count for cell in CODE] == list(range(1, len(CODE) + 1))
    assert NOTEBOOK.stat().st_size < MOST_BYTES
    kinds = {output.output_type for cell in CODE for output in cell.outputs}
    assert kinds == {"display_data", "execute_result"}  # no errors, and nothing that a library printed
    assert not re.search(r"/(home|root|work|tmp|Users)/", NOTEBOOK.read_text(encoding="utf-8"))


def test_it_shows_progress_verdict_pictures_and_a_comparison() -> None:
    assert "validate onnx-float32-256x256" in outputs(cell_with("instantstyle.export("))
    assert "| onnx-float32-256x256 | passed |" in outputs(CODE[3])
    assert outputs(cell_with("bundle.passed")).startswith("(True,")
    (picture,) = cell_with("row.paste").outputs
    assert len(picture.data["image/jpeg"]) > 10_000
    assert "Comparison of 12 pictures" in outputs(cell_with("instantstyle.compare("))


def test_its_calls_are_those_of_the_api() -> None:
    called = []
    for cell in CODE:
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("instantstyle."):
                name = ast.unparse(node.func).removeprefix("instantstyle.")
                assert name in instantstyle.__all__
                given: dict[str, Any] = {keyword.arg: None for keyword in node.keywords if keyword.arg}
                # `instantstyle.export` is a package that can be called.
                inspect.signature(getattr(api, name)).bind(*node.args, **given)
                called.append(name)
    assert called == ["export", "load", "compare"]


@pytest.mark.slow
def test_it_runs() -> None:
    again = executed(NOTEBOOK)
    assert outputs(cell_with("bundle.passed", again)).startswith("(True,")
    means = [float(re.findall(r"SSIM ([0-9.]+) mean", outputs(cell_with("compare(", each)))[0]) for each in (CONTENT, again)]
    assert means[1] == pytest.approx(means[0], abs=0.005)
