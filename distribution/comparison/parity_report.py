"""Parity for people and for CI: a Markdown table for the pull request, and JUnit XML."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...system.disk import atomic_write, check_output
from ...system.tables import markdown_table
from ...validation.report.junit import junit_cases
from .parity import Parity, Row, candidate, compare, released


@dataclass(frozen=True)
class ParityOptions:
    """The command line of ``instantstyle parity``. ``name`` is the model's in the registry, by default its own."""

    baseline: str
    candidate: Path
    key: Path
    name: str | None = None
    markdown: Path | None = None
    junit: Path | None = None


def parity(options: ParityOptions) -> int:
    """Prints the comparison; 1 if the candidate is worse by more than its recipe allows, or did not pass its own gate.

    Raises:
        RegistryError, SignatureError, DownloadError, ArtifactError: there is nothing to compare.
    """
    for path in (options.markdown, options.junit):
        if path is not None:
            check_output(path)
    bundle, allowed = candidate(options.candidate)
    found = compare(released(options.baseline, options.name or bundle.model.name.lower(), options.key), bundle, allowed)
    text = parity_markdown(found)
    if options.markdown is not None:
        atomic_write(options.markdown, text)
    if options.junit is not None:
        atomic_write(options.junit, parity_junit(found))
    print(text)  # last, since whoever reads it may stop
    return 1 if found.failures else 0


def parity_markdown(found: Parity) -> str:
    """A verdict, what stops the candidate, and the table."""
    verdict = "worse than allowed" if found.failures else "no worse than allowed"
    lines = [f"# {found.model}: {verdict}, compared with {found.released}", ""]
    lines += [*(f"- {sentence}" for sentence in found.failures), *([""] if found.failures else [])]
    columns = ("Artifact", "Quantity", "Released", "Candidate", "Change", "Allowed", "")
    return "\n".join([*lines, *markdown_table(columns, map(_cells, found.rows))]).rstrip() + "\n"


def parity_junit(found: Parity) -> str:
    """A test case for each number, each missing artifact and each sentence of the gate."""
    cases = [(row.artifact, row.quantity, row.failure) for row in found.rows]
    cases += [("release", sentence.partition(":")[0], sentence) for sentence in found.missing]
    cases += [("gate", f"candidate {index}", sentence) for index, sentence in enumerate(found.gate, 1)] or [("gate", "candidate", "")]
    return junit_cases("parity", cases)


def _cells(row: Row) -> Iterator[str]:
    yield from (row.artifact, row.quantity, _number(row, row.released), _number(row, row.candidate))
    change = None if row.released is None or row.candidate is None else row.candidate - row.released
    yield "-" if change is None else f"{change:+,.0f}" if row.quantity == "bytes" else f"{change:+.4f}"
    yield _number(row, row.allowed)
    yield "worse" if row.failure else ""


def _number(row: Row, value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if row.quantity == "bytes" else f"{value:.4f}"
