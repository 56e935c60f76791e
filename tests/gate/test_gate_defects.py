"""Every defect of a finished bundle is refused by ``validate``, by name."""

import re
from pathlib import Path

import pytest
from defects import DEFECTS
from gate_helpers import run


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_refused_by_name(dist: Path, name: str) -> None:
    change, sentence = DEFECTS[name]
    change(dist)
    code, output = run("validate", dist)
    assert code != 0, f"{name} passed"
    assert re.search(sentence, output, re.DOTALL), output


def test_there_are_enough_of_them() -> None:
    assert len(DEFECTS) >= 100
