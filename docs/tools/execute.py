"""Executes the notebooks of docs anew, where they lie: ``make notebook``."""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).parents[1]
TWIN, KEPT = "image/png", "image/jpeg"


def executed(notebook: Path) -> NotebookNode:
    """The notebook with the outputs of its cells. A cell that raises ends it with CellExecutionError.

    Pillow gives every picture twice; the smaller form is kept. What differs from run to run and says nothing is left out.
    """
    content = nbformat.read(notebook, as_version=4)
    NotebookClient(content, timeout=1800, kernel_name="python3", resources={"metadata": {"path": str(notebook.parent)}}).execute()
    for cell in content.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", ()):
            if KEPT in output.get("data", {}):
                output["data"].pop(TWIN, None)
    content.metadata.language_info = {"name": "python"}
    return content


if __name__ == "__main__":
    for path in sorted(FOLDER.glob("*.ipynb")):
        nbformat.write(executed(path), path)
        print(f"{path.name}: {path.stat().st_size:,} bytes", file=sys.stderr)
