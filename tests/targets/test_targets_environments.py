"""Targets in environments of their own: found, asked through a pipe, and told about in a sentence if they end."""

import os
import signal
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plugin import TARGET_MODULE
from plugin import install as install_package
from suite import Emitted, TargetSuite, graph_inputs, run_pytorch

from instantstyle.capture.program import Program
from instantstyle.recipe.precision import Precision
from instantstyle.system.errors import ExecutionError, InstantStyleError
from instantstyle.targets.base import Availability, Target
from instantstyle.targets.environments import install
from instantstyle.targets.environments.remote import RemoteTarget, Worker, elsewhere
from instantstyle.targets.onnx.target import OnnxTarget
from instantstyle.targets.registry import get_target
from instantstyle.targets.triton.target import TritonTarget


def make_environment(root: Path, *packages: Path, name: str = "tiny") -> None:
    """An environment of a target that has this one's packages and those of other folders."""
    home = root / name
    (home / "bin").mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join([*map(str, packages), *filter(None, sys.path)])
    (home / "bin" / "python").write_text(f"#!/bin/sh\nPYTHONPATH='{path}' exec '{sys.executable}' \"$@\"\n")
    (home / "bin" / "python").chmod(0o755)
    (home / "ready").touch()


@pytest.fixture(scope="class")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A target whose package is in its environment alone."""
    site, packages, root = (tmp_path_factory.mktemp(name) for name in ("site", "packages", "environments"))
    install_package(site, "tiny-target", {"tiny_target": TARGET_MODULE}, {"tiny": "tiny_target:TinyTarget"})
    (packages / "tiny_runtime.py").write_text("")
    make_environment(root, packages, site)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(install.FOLDER_VARIABLE, str(root))
        patch.syspath_prepend(site)
        yield get_target("tiny")
        sys.modules.pop("tiny_target", None)


class TestElsewhere(TargetSuite):
    """The suite through a pipe."""

    precisions = (Precision.FLOAT32,)
    packages = ()
    reproducible = ("required-by-none", "*.pt2")

    @pytest.fixture(scope="class")
    @classmethod
    def target(cls, tiny: Target) -> Target:
        return tiny

    def test_it_is_the_one_elsewhere(self, target: Target) -> None:
        assert isinstance(target, RemoteTarget) and "/tiny" in target.description
        assert not get_target("tiny")._target.availability().can_run  # pyright: ignore[reportAttributeAccessIssue]

    def test_numbers_are_exactly_the_programs(self, emitted: Emitted, target: Target, program: Program) -> None:
        inputs = graph_inputs()["stylizer"]
        output = self.run(target, emitted(Precision.FLOAT32), "stylizer", inputs)
        np.testing.assert_array_equal(output, run_pytorch(program.graphs[1].float_program, list(inputs.values())))

    def test_memory_is_the_process(self, emitted: Emitted, target: Target) -> None:
        with target.open(*emitted(Precision.FLOAT32), "stylizer", threads=1) as runner:
            runner.run(graph_inputs()["stylizer"])
            assert 0 <= runner.memory_elsewhere() < 2**30

    def test_a_process_that_ends_is_a_sentence_and_the_next_one_works(self, emitted: Emitted, target: Target) -> None:
        inputs = graph_inputs()["style_encoder"]
        runner: Any = target.open(*emitted(Precision.FLOAT32), "style_encoder", threads=1)
        os.kill(runner._worker._process.pid, signal.SIGKILL)
        with pytest.raises(ExecutionError, match=r"target 'tiny': its process .* ended with code -9: .*; .*--install tiny"):
            runner.run(inputs)
        runner.close()
        assert self.run(target, emitted(Precision.FLOAT32), "style_encoder", inputs).shape == (1, 6)


class Emulated(OnnxTarget):
    """A target whose runtime is on no machine that builds."""

    name = "tiny"
    at_best = Availability(can_emit=True, can_run=False, reason="no such processor", evaluator="its vendor's library")


@pytest.mark.parametrize("here", [True, False])
def test_what_runs_nowhere_is_said_to_run_in_no_environment_and_is_used_here_if_it_can_be(
    here: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(install.FOLDER_VARIABLE, str(tmp_path))
    make_environment(tmp_path)
    target = Emulated()
    found = target.at_best if here else Availability(can_emit=False, can_run=False, reason="not installed: a library")
    monkeypatch.setattr(target, "availability", lambda: found)
    assert isinstance(elsewhere(target), RemoteTarget) is not here
    assert elsewhere(target).availability() == target.at_best


def test_an_interpreter_without_the_package_says_so(tmp_path: Path) -> None:
    script = tmp_path / "bin" / "python"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\necho 'No module named instantstyle' >&2\nexit 1\n")
    script.chmod(0o755)
    with pytest.raises(ExecutionError, match=r"ended with code 1: No module named instantstyle"):
        Worker("tiny", {}, script)


def test_an_environment_that_was_not_finished_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(install.FOLDER_VARIABLE, str(tmp_path))
    make_environment(tmp_path)
    assert install.python("tiny") == tmp_path / "tiny" / "bin" / "python"
    (tmp_path / "tiny" / "ready").unlink()
    assert install.python("tiny") is None


def test_environments_are_in_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(install.FOLDER_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert install.folder("litert") == tmp_path / "instantstyle" / "environments" / "litert"


def test_a_target_without_an_extra_needs_no_environment() -> None:
    with pytest.raises(InstantStyleError, match=r"target 'pt2' needs no packages of its own"):
        install.install("pt2")


def test_a_program_has_packages_of_its_own_and_its_target_stays_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(install.FOLDER_VARIABLE, str(tmp_path))
    ran: list[list[str]] = []
    monkeypatch.setattr(install, "_run", lambda command, report: ran.append(command))
    install.install("triton", lambda line: None)
    options = ["-m", "pip", "install", "--disable-pip-version-check"]
    assert [command[1:] for command in ran[1:]] == [[*options, "nvidia-pytriton==0.7.0", f"onnxruntime=={version('onnxruntime')}"]]
    make_environment(tmp_path, name="triton")
    target = TritonTarget()
    assert install.python("triton") is not None and elsewhere(target) is target


def test_installing_reports_and_is_ready_only_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(install.FOLDER_VARIABLE, str(tmp_path))
    script = "import os,sys; a=sys.argv[1:]; print('Collecting it'); print('no space left'); sys.exit('tensorrt-rtx' in a[-1])"
    ran: list[list[str]] = []
    run = install._run

    def instead(command: list[str], report: Any) -> None:
        ran.append(command)
        if command[1:3] == ["-m", "pip"]:
            run([sys.executable, "-c", script, *command[1:]], report)

    monkeypatch.setattr(install, "_run", instead)
    said: list[str] = []
    assert install.install("litert", said.append) == tmp_path / "litert"
    assert (tmp_path / "litert" / "ready").is_file()
    assert said[0].endswith(str(tmp_path / "litert")) and "  Collecting it" in said and said[-1].startswith("ready: ")
    torch, itself = ran[1:]
    assert torch[-1].startswith("torch==2") and "[litert]" in itself[-1]
    with pytest.raises(InstantStyleError, match=r"failed with code 1: Collecting it / no space left"):
        install.install("tensorrt_rtx", said.append)
    assert install.python("tensorrt_rtx") is None
