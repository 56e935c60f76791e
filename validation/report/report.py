"""The verdict for people: a Markdown summary for CI, and a table and sentences for the terminal."""

from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ...recipe.settings import ENOUGH_SAMPLES
from ...system.disk import atomic_write
from ...system.tables import _cell, markdown_table
from ..judge.checks import unjudged
from ..judge.gate import gate, shipped_instead, shortcomings, undecided
from ..judge.levels import TITLES
from ..page import FILE as PAGE
from ..page import page
from ..results.blame import GraphBlame
from ..results.bundle import Bundle, BundleArtifact
from ..results.measurements import Status
from .blame import COLUMNS as BLAME_COLUMNS
from .blame import blame_lines, blame_rows, blamed
from .departure import COLUMNS as DEPARTURE_COLUMNS
from .departure import rows as departure_rows
from .fallback import fallback_lines
from .half_range import COLUMNS
from .half_range import rows as half_rows
from .junit import junit_xml
from .plan import plan_tables
from .rows import artifact_row, graph_rows, number, psnr_text, unit_rows

SUMMARY, JUNIT = "summary.md", "junit.xml"
STATUS_STYLE = {
    Status.PASSED: "green",
    Status.FAILED: "bold red",
    Status.UNDECIDED: "yellow",
    Status.GRAPH_PARITY: "cyan",
    Status.VENDOR_CPU: "cyan",
    Status.NOT_EXECUTED: "yellow",
}
ARTIFACT_COLUMNS = (
    ("Artifact", "Status", "SSIM mean", "5th percentile", "worst", "worst sample", "PSNR dB", "p50 ms", "p90 ms", "FPS")
    + ("vs ORT float", "vs PyTorch", "memory MB", "bytes", "int8 convolutions")
)  # fmt: skip
GRAPH_COLUMNS = (
    ("Artifact", "Graph", "alone, mean / worst", "p50 ms", "ORT float ms", "PyTorch ms", "vs ORT float", "vs PyTorch", "runs")
    + ("int8 convolutions",)
)  # fmt: skip
UNIT_COLUMNS = ("Artifact", "Unit", "SSIM mean", "worst", "p50 ms", "vs ORT float", "vs PyTorch")
PRUNED_COLUMNS = ("Group", "What", "asked", "removed", "kept", "why not")


def write_reports(bundle: Bundle, folder: Path) -> None:
    """Writes ``summary.md``, ``report.html`` and ``junit.xml``. Pictures are taken from the golden pairs in the folder."""
    atomic_write(folder / SUMMARY, markdown(bundle, blamed(bundle, folder)))
    atomic_write(folder / PAGE, page(bundle, verdict(bundle), folder))
    atomic_write(folder / JUNIT, junit_xml(bundle))


def markdown(bundle: Bundle, blames: Sequence[GraphBlame] = ()) -> str:
    """The whole report. ``blames`` are those of artifacts that have failed."""
    parts = [f"# {_cell(bundle.model.name)}: {verdict(bundle)}", ""]
    parts += _list([*gate(bundle), *_few(bundle)])
    parts += markdown_table(ARTIFACT_COLUMNS, (vars(artifact_row(artifact)).values() for artifact in bundle.artifacts))
    parts += ["Times are medians of the graph that runs once per image, with 95% intervals.", ""]
    parts += _section("Not required, and not passed", _list(_not_required(bundle)))
    parts += _section("What failed artifacts lose it by", [*_list(blame_lines(blames)), *markdown_table(BLAME_COLUMNS, blame_rows(blames))])
    parts += _section("Not executed where they belong", _list(_evaluated(bundle)))
    parts += _section("Not in int8", _list(fallback_lines(bundle)))
    parts += _section("Chosen by speed", _list(_chosen(bundle)))
    parts += _section(
        "Graphs", markdown_table(GRAPH_COLUMNS, (vars(row).values() for artifact in bundle.artifacts for row in graph_rows(artifact)))
    )
    apart = (
        row
        for artifact in bundle.artifacts
        if artifact.measurements is not None
        for row in departure_rows(artifact.measurements, artifact.limits)
    )
    parts += _section("Beside its own float network", markdown_table(DEPARTURE_COLUMNS, apart))
    parts += _section("Headroom in float16", markdown_table(COLUMNS, half_rows(bundle.artifacts)))
    parts += _section("Compute units", markdown_table(UNIT_COLUMNS, (row for artifact in bundle.artifacts for row in unit_rows(artifact))))
    parts += _section("Hard samples", markdown_table(("Artifact", "Sample", "SSIM", "PSNR dB", "max abs"), _hard_rows(bundle.artifacts)))
    islands = [f"`{island.graph}.{island.module_path}`: {', '.join(island.operators)} ({island.reason})" for island in bundle.float_islands]
    parts += _section("Left in float", _list(islands))
    pruned = (
        (row.name, row.kind, f"{row.asked:.0%}", f"{row.reached:.0%}", f"{row.kept} of {row.width}", row.obstacle) for row in bundle.pruning
    )
    parts += _section("Pruned", markdown_table(PRUNED_COLUMNS, pruned))
    parts += _section("Quantisation plan", plan_tables(bundle.plan, bundle.plan_points))
    notes = [f"{artifact.name}: {note}" for artifact in bundle.artifacts for note in artifact.notes]
    parts += _section("Notes", _list(notes))
    parts += _section("Machine", _list(_machine(bundle)))
    return "\n".join(parts).rstrip() + "\n"


def verdict(bundle: Bundle) -> str:
    """In one line."""
    refused = gate(bundle)
    if refused:
        word = "UNDECIDED" if set(refused) <= undecided(bundle) else "FAILED"
        return f"{word}, {len(refused)} {'reason' if len(refused) == 1 else 'reasons'}"
    instead = [f"{each.ships} instead of {each.artifact}" for each in bundle.fallbacks if each.ships]
    return f"passed, {', '.join(bundle.required)}" + (f"; not in int8: {', '.join(instead)}" if instead else "")


def print_verdict(bundle: Bundle, console: Console, blames: Sequence[GraphBlame] = ()) -> None:
    """Table, sentences and the verdict. ``blames`` are those of artifacts that have failed."""
    console.print(terminal_table(bundle))
    open_questions = undecided(bundle)
    said = [("[yellow]open[/]  " if each in open_questions else "[bold red]failed[/]", each) for each in gate(bundle)]
    said += [("[yellow]try[/]   ", each) for each in blame_lines(blames)]
    said += [("[dim]other[/] ", f"{each}; not required") for each in _not_required(bundle, all_but=TITLES)]
    said += [("[yellow]few[/]   ", each) for each in _few(bundle)]
    said += [("[cyan]proof[/] ", each) for each in _evaluated(bundle)]
    said += [("[yellow]float[/] ", each) for each in fallback_lines(bundle)]
    said += [("[cyan]chosen[/]", each) for each in _chosen(bundle)]
    for word, sentence in said:
        console.print(f"{word} {escape(_printable(sentence))}", highlight=False, soft_wrap=True)
    console.print(f"[bold]{escape(verdict(bundle))}[/]", highlight=False, soft_wrap=True)


def _printable(sentence: str) -> str:
    """Without what would move the cursor or colour the terminal: reasons may quote other programs."""
    return "".join(character if character.isprintable() else " " for character in sentence)


def terminal_table(bundle: Bundle) -> Table:
    """What fits 80 columns; the Markdown summary has the rest."""
    legend = "SSIM mean and worst, median time, times faster than ONNX Runtime float and PyTorch"
    table = Table(title=bundle.model.name, title_justify="left", caption=legend, caption_justify="left", box=None, padding=(0, 1, 0, 0))
    for column in ("artifact", "status"):
        table.add_column(column, no_wrap=True)
    for column in ("SSIM", "worst", "ms", "ORT", "PyTorch", "bytes", "int8"):
        table.add_column(column, justify="right", no_wrap=True)
    for artifact in bundle.artifacts:
        row = artifact_row(artifact)
        status = f"[{STATUS_STYLE[artifact.status]}]{row.status}[/]"
        times = (cell.partition(" (")[0] for cell in (row.p50_ms, row.over_ort_float, row.over_pytorch))
        table.add_row(escape(row.artifact), status, row.ssim_mean, row.ssim_worst, *times, row.size_bytes, row.int8_convolutions)
    return table


def _not_required(bundle: Bundle, all_but: Container[Status] = ()) -> list[str]:
    """What is wrong with artifacts that nothing depends on, but those of some status."""
    refused, artifacts = gate(bundle), [each for each in bundle.artifacts if each.status not in all_but and not _told(bundle, each)]
    return [sentence for artifact in artifacts for sentence in shortcomings(bundle, artifact) if sentence not in refused]


def _told(bundle: Bundle, artifact: BundleArtifact) -> bool:
    """Whether ``fallback_lines`` says what is to be said of an artifact."""
    return shipped_instead(bundle, artifact) is not None or artifact.name in bundle.built_instead


def _few(bundle: Bundle) -> list[str]:
    """What is judged on less than the usual number of samples."""
    different = bundle.different_samples
    return [f"judged on {different} different samples; fewer than {ENOUGH_SAMPLES} say little"] if different < ENOUGH_SAMPLES else []


def _evaluated(bundle: Bundle) -> list[str]:
    """What is known of an artifact that did not run where it belongs, and the limits that wait for that."""
    lines = []
    for artifact in bundle.artifacts:
        measured = artifact.measurements
        if measured is not None and measured.evaluator:
            waiting = unjudged(measured, artifact.limits)
            rest = f"; not judged: {', '.join(waiting)}" if waiting else ""
            level = TITLES.get(artifact.status, str(artifact.status))
            lines.append(f"{artifact.name}: {level}, {measured.evaluator}{rest}")
    return lines


def _chosen(bundle: Bundle) -> list[str]:
    lines = []
    for choice in bundle.choices:
        ships = f"ships {choice.artifact}" if choice.artifact else "is undecided"
        lines.append(f"{choice.target} {choice.size[0]}x{choice.size[1]} {ships}: {choice.reason}")
    return lines


def _hard_rows(artifacts: Sequence[BundleArtifact]) -> Iterator[tuple[str, ...]]:
    for artifact in artifacts:
        for score in artifact.measurements.end_to_end.hard_scores if artifact.measurements else ():
            yield artifact.name, score.sample, number(score.ssim, 4), psnr_text(score.psnr_db), number(score.max_abs, 4)


def _machine(bundle: Bundle) -> list[str]:
    machine = bundle.machine
    peak = bundle.pipeline_peak_memory_bytes
    lines = [f"{machine.cpu}, {machine.cores} cores, {machine.system}"]
    for artifact in bundle.artifacts:
        if artifact.measurements is not None:
            at = artifact.measurements.machine
            others = "" if at.busy_elsewhere is None else f", other processes took {at.busy_elsewhere:.0%} meanwhile"
            load = f"load {at.load_before:.1f} before, {at.load_after:.1f} after{others}"
            lines.append(f"{artifact.name}: timed with {at.threads} threads on {at.cpu}; {load}")
    lines.append(f"peak memory of the build: {peak / 1e6:,.0f} MB" if peak else "peak memory of the build: not measured")
    lines.append(", ".join(f"{library.name} {library.version}" for library in bundle.libraries))
    return [line for line in lines if line]


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *lines] if lines else []


def _list(lines: Iterable[str]) -> list[str]:
    listed = [f"- {' '.join(line.split())}" for line in lines]
    return [*listed, ""] if listed else []
