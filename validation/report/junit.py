"""The verdict as JUnit XML, which CI systems show: a test case for each artifact and limit, and one for each required name."""

import re
from collections.abc import Iterable
from xml.etree import ElementTree

from ..judge.checks import check
from ..judge.gate import refusals, shipped_instead, shortcomings
from ..judge.levels import names
from ..results.bundle import Bundle, BundleArtifact

# Characters that XML 1.0 cannot hold, not even escaped.
FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(bundle: Bundle) -> str:
    """One test suite for each artifact, then one for the gate.

    What was not executed is a failure where it is required, and skipped where it is not.
    """
    root = ElementTree.Element("testsuites", name="instantstyle")
    for artifact in bundle.artifacts:
        suite = ElementTree.SubElement(root, "testsuite", name=artifact.name)
        required = any(name in bundle.required for name in names(artifact))
        _add_artifact(suite, bundle, artifact, required)
        _count(suite)
    gate = ElementTree.SubElement(root, "testsuite", name="gate")
    for required in bundle.required or ("something",):
        sentences = refusals(bundle, required) if bundle.required else ("nothing is required, so nothing can pass",)
        _case(gate, "gate", f"{required} is required", "\n".join(sentences))
    _count(gate)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def junit_cases(suite_name: str, cases: Iterable[tuple[str, str, str]]) -> str:
    """One suite of cases: group, name, and why it failed, which is empty if it passed."""
    root = ElementTree.Element("testsuites", name="instantstyle")
    suite = ElementTree.SubElement(root, "testsuite", name=suite_name)
    for group, name, failure in cases:
        _case(suite, group, name, failure)
    _count(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _add_artifact(suite: ElementTree.Element, bundle: Bundle, artifact: BundleArtifact, required: bool) -> None:
    instead = shipped_instead(bundle, artifact)
    if instead is not None or (artifact.name in bundle.built_instead and shortcomings(bundle, artifact)):
        why = f"{instead.name} ships instead" if instead is not None else "was tried in the place of int8"
        case = _case(suite, artifact.name, "fallback", "")
        ElementTree.SubElement(case, "skipped", message=_clean(f"{why}: {' '.join(shortcomings(bundle, artifact))}"))
        return
    if artifact.measurements is None:
        sentence = " ".join(shortcomings(bundle, artifact))
        case = _case(suite, artifact.name, "executed", sentence if required or artifact.status == "failed" else "")
        if case.find("failure") is None:
            ElementTree.SubElement(case, "skipped", message=_clean(sentence))
        return
    reported = set()
    for result in check(artifact.measurements, artifact.limits):
        reported.add(result.limit)
        _case(suite, artifact.name, result.limit, "" if result.passed else result.sentence)
    for failure in artifact.failures:
        if failure.limit not in reported:
            _case(suite, artifact.name, failure.limit, failure.sentence)


def _case(suite: ElementTree.Element, group: str, name: str, failure: str) -> ElementTree.Element:
    case = ElementTree.SubElement(suite, "testcase", classname=_clean(group), name=_clean(name))
    if failure:
        ElementTree.SubElement(case, "failure", message=_clean(failure))
    return case


def _count(suite: ElementTree.Element) -> None:
    cases = list(suite)
    suite.set("tests", str(len(cases)))
    suite.set("failures", str(sum(case.find("failure") is not None for case in cases)))
    suite.set("skipped", str(sum(case.find("skipped") is not None for case in cases)))


def _clean(text: str) -> str:
    return FORBIDDEN.sub("\ufffd", text)
