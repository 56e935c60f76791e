"""The stage that captures programs, and reading them back."""

import json
from dataclasses import asdict
from itertools import islice

from ...calibration.table import CalibrationTable
from ...capture.program import FloatIsland, Program
from ...model.graph import Model, Size
from ...system.disk import atomic_write
from ...system.progress import ReportProgress
from ..cache.pipeline import Pipeline
from ..cache.store import Entry, Workspace
from ..source.source import Source
from .quantize import quantization_key, read_plan, table_path, tuned_weights

ISLANDS = "islands.json"
CHECKED = 1  # calibration samples that a captured program is compared with its model on


def capture(pipeline: Pipeline, source: Source, size: Size, tuned: Entry | None, table: Entry | None) -> Entry:
    """The program at ``size``: int8 with a table, float only without."""
    kind = "int8" if table else "float"

    def make(workspace: Workspace, report: ReportProgress) -> None:
        from ...capture.storage import save_program
        from ...compression.quantization.capture import capture as trace

        ranges = CalibrationTable.load(table_path(table)) if table else None
        images = source.calibration
        samples = islice(images.samples(source.model, size), CHECKED)
        program = trace(
            source.model,
            size,
            table=ranges,
            tuned=tuned_weights(tuned),
            settings=source.recipe.quantize,
            samples=samples,
            plan=read_plan(source, tuned),
        )
        save_program(program, workspace.output)
        islands = [{"graph": graph.name, **asdict(island)} for graph in program.graphs for island in graph.float_islands]
        atomic_write(workspace.output / ISLANDS, json.dumps(islands, indent=1))

    # The calibration images too: what is captured was checked on them.
    inputs: dict[str, object] = {"model": source.fingerprint, "size": size, "checked": source.calibration.key}
    if table is not None:
        inputs |= {"table": table.digest, "tuned": tuned.digest if tuned else None, **quantization_key(source)}
    return pipeline.run("capture", f"{kind} {size[0]}x{size[1]}", inputs, make)


def read_program(entry: Entry, model: Model) -> Program:
    """The program that ``capture`` stored."""
    from ...capture.storage import load_program

    return load_program(entry.folder, model)


def read_islands(entry: Entry) -> tuple[tuple[str, FloatIsland], ...]:
    """Graph and island of everything that stays in float in a captured program, without loading the program."""
    rows = json.loads((entry.folder / ISLANDS).read_text())
    return tuple((row.pop("graph"), FloatIsland(row["module_path"], tuple(row["operators"]), row["reason"])) for row in rows)
