from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import validation_fakes as fakes
from rich.console import Console

from instantstyle.recipe.limits import Limits
from instantstyle.recipe.precision import Precision
from instantstyle.validation.judge.entries import not_emitted
from instantstyle.validation.judge.gate import exit_code
from instantstyle.validation.report.junit import junit_xml
from instantstyle.validation.report.report import markdown, print_verdict, write_reports
from instantstyle.validation.results.bundle import Bundle
from instantstyle.validation.results.measurements import Quality, Score, Status

NAME = "android-int8-512x512"
MISSED = Limits(min_ssim_mean=0.99, max_bytes=3_000_000)
ABSENT = not_emitted(
    "coreml",
    Precision.FLOAT16,
    size=(512, 512),
    limits=Limits(),
    status=Status.NOT_EXECUTED,
    reason="emitted nowhere: \x1b[31mno macOS <here>",
)


def cells(text: str, start: str) -> list[list[str]]:
    """The rows of Markdown tables that begin with ``start``."""
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line.startswith(f"| {start}")]


def test_markdown_has_every_number(tmp_path: Path) -> None:
    text = markdown(fakes.bundle_in(tmp_path))
    assert text.startswith("# tiny: passed, android\n\n- judged on 3 different samples; fewer than 8 say little\n")
    artifact, encoder, painter, *apart, flat, noise = cells(text, NAME)
    assert artifact == [
        *(NAME, "passed", "0.9804", "-", "0.9712", "b", "37.7", "10.0 (9.0 to 11.0)", "12.0", "100.0"),
        *("2.50x (2.40 to 2.60)", "4.00x (3.90 to 4.10)", "90", "3,000,000", "12/13"),
    ]
    assert encoder[1:4] == ["encoder", "SNR 50.0 / 50.0 dB", "10.0 (9.0 to 11.0)"] and encoder[-1] == "5 of 5 on CPU"
    assert painter[1:3] == ["painter", "SSIM 0.9804 / 0.9712"] and painter[4:] == [
        *("25.0", "40.0", "2.50x (2.40 to 2.60)", "4.00x (3.90 to 4.10)", "30", "7 of 8 on CPU"),
    ]
    assert apart == [
        [NAME, "SSIM, hard", "0.9000", "0.5000", "noise"],
        [NAME, "mean colour difference, hard", "0.90 CIEDE2000", "20.00 CIEDE2000", "noise"],
        [NAME, "SSIM of a 64x64 tile", "0.8500", "0.3000", "b"],
        [NAME, "mean difference of an 8x8 block", "0.0500", "0.2500", "b"],
        [NAME, "mean colour difference", "1.50 CIEDE2000", "5.00 CIEDE2000", "b"],
        [NAME, "perceptual distance", "0.2000", "0.3000", "b"],
    ]
    assert flat[1:] == ["flat black", "0.9500", "30.0", "0.5000"] and noise[1:] == ["noise", "0.9000", "28.0", "0.7000"]
    assert "- `painter.decoder.adain`: mean, sqrt (AdaIN statistics)" in text
    assert (
        "Test CPU, 2 cores, Linux test" in text
        and "timed with 2 threads on Test CPU; load 0.1 before, 0.2 after, other processes took 3% meanwhile" in text
    )
    assert "peak memory of the build: 2,500 MB" in text and "torch 2.13.0" in text


def test_markdown_says_what_failed(tmp_path: Path) -> None:
    bundle = fakes.bundle_in(tmp_path, MISSED)
    bundle = replace(bundle, artifacts=(*bundle.artifacts, ABSENT))
    text = markdown(bundle)
    assert text.startswith("# tiny: FAILED, 1 reason\n")
    assert f"- {NAME}: SSIM mean 0.9804 is below 0.9900 by 0.0096" in text
    assert cells(text, "coreml-float16")[0] == ["coreml-float16-512x512", "not executed", *["-"] * 13]
    assert "## Not required, and not passed" in text and "no macOS" in text


def test_what_is_undecided_is_neither_passed_nor_failed(tmp_path: Path) -> None:
    bundle = fakes.bundle_in(tmp_path, Limits(min_over_ort_float=2.45))
    text = markdown(bundle)
    assert text.startswith("# tiny: UNDECIDED, 1 reason\n") and cells(text, NAME)[0][1] == "undecided"
    assert "is undecided: 2.50x, and the 95% interval 2.40x to 2.60x has the limit 2.45x inside; release with --remeasure" in text
    assert exit_code(bundle) == 1 and bundle.artifacts[0].status is Status.UNDECIDED
    failed_too = fakes.bundle_in(tmp_path / "other", Limits(min_over_ort_float=2.45, max_bytes=5))
    assert markdown(failed_too).startswith("# tiny: FAILED, 2 reasons\n") and failed_too.artifacts[0].status is Status.FAILED


def test_names_cannot_break_a_table(tmp_path: Path) -> None:
    scores = (Score("a|b\nc", 0.9, 30.0, 0.1),)
    artifact, *_ = cells(markdown(fakes.bundle_in(tmp_path, end_to_end=Quality(scores, ()))), NAME)
    assert artifact[5] == "a\\|b c" and len(artifact) == 15


def parsed(bundle: Bundle) -> dict[str, ElementTree.Element]:
    root = ElementTree.fromstring(junit_xml(bundle))
    assert root.tag == "testsuites"
    return {suite.attrib["name"]: suite for suite in root}


def outcome(suite: ElementTree.Element) -> dict[str, str]:
    return {case.attrib["name"]: case[0].tag if len(case) else "passed" for case in suite}


def test_junit_has_a_case_for_each_limit(tmp_path: Path) -> None:
    suites = parsed(fakes.bundle_in(tmp_path, MISSED))
    assert outcome(suites[NAME]) == {
        **dict.fromkeys(("measured", "finite", "int8_executed"), "passed"),
        **dict.fromkeys(("int8_faster_than_float:encoder", "int8_faster_than_float:painter"), "passed"),
        **{"min_ssim_mean": "failure", "max_bytes": "passed"},
        **dict.fromkeys(("min_ssim_hard", "max_colour_hard", "min_ssim_tile", "max_block", "max_colour", "max_perceptual"), "passed"),
    }
    assert suites[NAME].attrib == {"name": NAME, "tests": "13", "failures": "1", "skipped": "0"}
    failure = suites[NAME].find("testcase[@name='min_ssim_mean']/failure")
    assert failure is not None and failure.attrib["message"] == f"{NAME}: SSIM mean 0.9804 is below 0.9900 by 0.0096"
    assert outcome(suites["gate"]) == {"android is required": "failure"}


def test_junit_of_a_pass(tmp_path: Path) -> None:
    suites = parsed(fakes.bundle_in(tmp_path))
    assert {tag for suite in suites.values() for tag in outcome(suite).values()} == {"passed"}


@pytest.mark.parametrize(
    "required,expected", [(("android",), "skipped"), (("android", "coreml"), "failure"), (("coreml-float16",), "failure")]
)
def test_junit_of_what_was_not_executed(tmp_path: Path, required: tuple[str, ...], expected: str) -> None:
    bundle = fakes.bundle_in(tmp_path, required=required)
    suites = parsed(replace(bundle, artifacts=(*bundle.artifacts, ABSENT)))
    assert outcome(suites["coreml-float16-512x512"]) == {"executed": expected}
    assert suites["coreml-float16-512x512"].attrib[{"skipped": "skipped", "failure": "failures"}[expected]] == "1"
    case = suites["coreml-float16-512x512"][0][0]
    assert "no macOS <here>" in case.attrib["message"]


def test_junit_of_a_crash_and_of_nothing_required(tmp_path: Path) -> None:
    bundle = fakes.bundle_in(tmp_path, required=())
    crashed = replace(bundle.artifacts[0], status=Status.FAILED, measurements=None, reason="crashed")
    suites = parsed(replace(bundle, artifacts=(crashed,)))
    assert outcome(suites[NAME]) == {"executed": "failure"}
    assert list(outcome(suites["gate"]).values()) == ["failure"]


def test_the_terminal_shows_table_sentences_and_verdict(tmp_path: Path) -> None:
    console = Console(record=True, width=140, file=(tmp_path / "screen.txt").open("w"))
    bundle = fakes.bundle_in(tmp_path / "dist", MISSED)
    print_verdict(replace(bundle, artifacts=(*bundle.artifacts, ABSENT)), console)
    text = console.export_text()
    assert NAME in text and "not executed" in text and "2.50x" in text
    assert f"failed {NAME}: SSIM mean 0.9804 is below 0.9900 by 0.0096\n" in text
    # Why an artifact that nothing depends on did not pass, too.
    assert "other  coreml-float16-512x512: was not executed: emitted nowhere:  [31mno macOS <here>; not required\n" in text
    assert text.rstrip().endswith("FAILED, 1 reason")


def test_reports_are_written(tmp_path: Path) -> None:
    bundle = fakes.bundle_in(tmp_path)
    write_reports(bundle, tmp_path)
    assert (tmp_path / "summary.md").read_text() == markdown(bundle)
    assert (tmp_path / "junit.xml").read_text() == junit_xml(bundle)
