"""Programs that the targets' tests share: capturing them takes seconds, so once a session."""

import pytest
from programs import small_program

from instantstyle.capture.program import Program


@pytest.fixture(scope="session")
def program() -> Program:
    return small_program()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs a suite's tests in each precision that its target emits."""
    if "precision" in metafunc.fixturenames and metafunc.cls is not None:
        metafunc.parametrize("precision", metafunc.cls.precisions, ids=str)
