"""Programs that the targets' tests share, and their Core ML packages: either takes seconds to make, so once a session."""

from collections.abc import Callable
from pathlib import Path

import pytest
from programs import small_program

from instantstyle.capture.program import Program
from instantstyle.model.graph import Size
from instantstyle.recipe.precision import Precision
from instantstyle.targets.base import Artifact
from instantstyle.targets.coreml.target import CoreMLTarget


@pytest.fixture(scope="session")
def program() -> Program:
    return small_program()


@pytest.fixture(scope="session")
def coreml(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Artifact, Path]]:
    """Packages by precision and more sizes, e.g. ``coreml(Precision.FLOAT16, (64, 32))``. Not to be changed."""
    done: dict[tuple[Precision, tuple[Size, ...]], tuple[Artifact, Path]] = {}

    def emit(precision: Precision, *sizes: Size) -> tuple[Artifact, Path]:
        if (precision, sizes) not in done:
            folder = tmp_path_factory.mktemp("coreml")
            target = CoreMLTarget().configured({"more_sizes": [list(size) for size in sizes]})
            done[precision, sizes] = target.emit(program, precision, folder), folder
        return done[precision, sizes]

    return emit


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs a suite's tests in each precision that its target emits."""
    if "precision" in metafunc.fixturenames and metafunc.cls is not None:
        metafunc.parametrize("precision", metafunc.cls.precisions, ids=str)
