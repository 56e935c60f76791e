"""Packages that a target needs, and what the processor does to int8."""

import sys
from pathlib import Path

import pytest

from instantstyle.system.errors import TargetUnavailableError
from instantstyle.system.host import has_vnni
from instantstyle.targets.packages import install_command, missing_packages, require


def test_missing_packages_are_found_without_importing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "explodes_on_import.py").write_text("raise RuntimeError")
    assert missing_packages(("explodes_on_import", "no_such_package_here", "numpy")) == ("no_such_package_here",)


def test_command_has_this_distributions_lower_bounds() -> None:
    assert install_command(("onnxruntime", "onnx_ir")).startswith('pip install "onnxruntime>=1.32.0" "onnx-ir')
    assert install_command(()) == ""


def test_package_that_is_broken_is_told_from_one_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "half_installed.py").write_text("import a_library_that_is_gone")
    with pytest.raises(
        TargetUnavailableError, match=r"half_installed is installed but cannot be imported.*a_library_that_is_gone.*--force-reinstall"
    ):
        require("onnx", ("half_installed",))
    monkeypatch.setitem(sys.modules, "half_installed", None)
    with pytest.raises(TargetUnavailableError, match=r'target \'onnx\' needs half_installed.*pip install "half-installed"'):
        require("onnx", ("half_installed",))


@pytest.mark.parametrize(
    ("flags", "vnni"),
    [("fpu avx2 avx512f avx512_vnni", True), ("fpu avx2 avx_vnni", True), ("fpu avx2 avx512f avx512bw", False), ("", False)],
)
def test_vnni_is_read_from_the_processors_flags(flags: str, vnni: bool) -> None:
    assert has_vnni(f"processor\t: 0\nmodel name\t: avx512_vnni fan\nflags\t\t: {flags}\nbugs\t\t: none\n") is vnni
