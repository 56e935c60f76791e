"""What a user can get wrong in a release: each a clear error, exit code 2, and the dist folder as it was."""

import errno
import os
import re
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from export_helpers import change, content_of, release, write_recipe
from safetensors.torch import save_file

from instantstyle.cli import main as cli
from instantstyle.export.release import ReleaseOptions
from instantstyle.export.release import release as run_release
from instantstyle.export.source.checked_recipe import load_recipe
from instantstyle.export.variants import select
from instantstyle.system.errors import InstantStyleError, RecipeError
from instantstyle.system.lock import lock_output
from instantstyle.targets.onnx.target import OnnxTarget

BRANCHING = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, image):
        if image.mean() > 0:
            return self.conv(image)
        return image

def make():
    return Net()
"""


def checkpoint(folder: Path, content: bytes | dict[str, torch.Tensor]) -> None:
    path = folder / "net.safetensors"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        save_file(content, path)
    change(folder / "recipe.toml", ("sizes =", 'checkpoint = "net.safetensors"\nsizes ='))


def factory(folder: Path, code: str) -> None:
    (folder / "net.py").write_text(code)
    text = (folder / "recipe.toml").read_text().splitlines()
    lines = ['factory = "net.py:make"' if line.startswith("factory") else line for line in text]
    (folder / "recipe.toml").write_text("\n".join(lines))


def edit(*changes: tuple[str, str]) -> Callable[[Path], None]:
    return lambda folder: change(folder / "recipe.toml", *changes)


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "checkpoint missing": (
        edit(("sizes =", 'checkpoint = "gone.pt"\nsizes =')),
        r"recipe\.toml: model\.checkpoint: no such file .*gone\.pt",
    ),
    "checkpoint truncated": (
        lambda folder: checkpoint(folder, b"\x40\0\0\0\0\0\0\0{"),
        r"net\.safetensors: the file is truncated \(9 bytes\)",
    ),
    "checkpoint of another model": (
        lambda folder: checkpoint(folder, {"first.weight": torch.zeros(16, 3, 3, 3)}),
        r"(?s)does not fit the model SuperResolution.*missing from the file: first\.bias.*"
        r"first\.weight: 16x3x3x3 in the file, 16x3x5x5 in the model",
    ),
    "size": (
        lambda folder: write_recipe(folder, "unet.py:make", changes=(("sizes = [64]", "sizes = [[66, 64]]"),)),
        r"model\.sizes: found 66x64, but height and width must be multiples of 4 for this model; nearest allowed: 64x64 and 68x64",
    ),
    "crop": (
        lambda folder: write_recipe(folder, "unet.py:make", "qat", (("crop = 64", "crop = 70"),)),
        r"quantize\.crop: found 70x70, but height and width must be multiples of 4 .*nearest allowed: 68x68 and 72x72",
    ),
    "returns a list": (
        lambda folder: factory(folder, "def make():\n    return [1]\n"),
        r"net\.py:make returned list; allowed: a torch\.nn\.Module",
    ),
    "returns nothing": (
        lambda folder: factory(folder, "def make():\n    pass\n"),
        r"net\.py:make returned None; is there a return\?; allowed",
    ),
    "returns a class": (
        lambda folder: factory(folder, "from torch import nn\n\ndef make():\n    return nn.Tanh\n"),
        r"returned the class Tanh instead of a module: return Tanh\(\.\.\.\); allowed",
    ),
    "returns two modules": (
        lambda folder: factory(folder, "from torch import nn\n\ndef make():\n    return nn.Tanh(), nn.ReLU(), None\n"),
        r"returned a tuple with the modules Tanh, ReLU: return the one that makes the picture, or a Model",
    ),
    "returns weights": (
        lambda folder: factory(folder, "from torch import nn\n\ndef make():\n    return nn.Conv2d(3, 3, 1).state_dict()\n"),
        r"returned weights without a module: return the module, and name the weights' file in model\.checkpoint",
    ),
    "wants two inputs": (
        lambda folder: factory(folder, "from torch import nn\n\ndef make():\n    return nn.Bilinear(3, 3, 3)\n"),
        r"(?s)fails on an RGB image.*It wants 2 inputs \(input1, input2\): give all but the image a default, or return a Model",
    ),
    "cannot be captured": (lambda folder: factory(folder, BRANCHING), r"net\.py.*if image\.mean\(\) > 0"),
    "too few images": (edit(("minimum_images = 4", "minimum_images = 5")), "calibration photos: 4 found, at least 5 needed"),
    "no images": (edit(('"validation"', '"nowhere"')), "image pattern 'nowhere' matches no file"),
    "corrupt image": (lambda folder: (folder / "calibration" / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n123"), r"2\.png"),
    "not a table": (
        lambda folder: (
            (folder / "t.json").write_text("{}"),
            change(folder / "recipe.toml", ("steps", 'calibration_table = "t.json"\nsteps')),
        ),
        r"t\.json: not a calibration table",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_explained_and_leaves_the_old_dist(tmp_path: Path, case: str) -> None:
    prepare, told = BAD[case]
    write_recipe(tmp_path)
    (tmp_path / "dist").mkdir()
    bundle = b'{"recipe": {"sha256": ""}, "artifacts": []}'
    (tmp_path / "dist" / "bundle.json").write_bytes(bundle)
    prepare(tmp_path)
    with pytest.raises(InstantStyleError, match=told):
        release(tmp_path)
    assert content_of(tmp_path / "dist") == {"bundle.json": bundle}
    assert {path.name for path in tmp_path.iterdir()} <= {
        "cache", "calibration", "dist", "net.py", "__pycache__", "net.safetensors", "recipe.toml", "t.json", "validation",
    }  # fmt: skip
    assert list((tmp_path / "cache").glob("work/*")) == []


def test_a_full_disk_in_the_middle(released: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content_of(released / "dist")
    change(released / "recipe.toml", ('android = ["int8"]', 'android = ["int8"]\nonnx = ["int8"]'))

    def fill(self: OnnxTarget, program: object, precision: object, folder: Path) -> object:
        (folder / "half.onnx").write_bytes(b"x" * 1000)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / "half.onnx"))

    monkeypatch.setattr(OnnxTarget, "emit", fill)
    with pytest.raises(InstantStyleError, match=r"the disk is full: could not write .*half\.onnx \([\d,]+ bytes free\)"):
        release(released)
    assert content_of(released / "dist") == before
    assert not any("half.onnx" in name for name in content_of(released))


def test_a_full_disk_while_the_bundle_is_written(released: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (released / "dist" / "summary.md").unlink()
    before = content_of(released / "dist")

    def fill(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("instantstyle.validation.integrity.write_reports", fill)
    with pytest.raises(InstantStyleError, match=r"the disk is full: could not write .* bytes free"):
        release(released)
    assert content_of(released / "dist") == before
    assert sorted(path.name for path in released.iterdir()) == ["cache", "calibration", "dist", "recipe.toml", "validation"]


def test_a_read_only_dist_is_refused_before_any_work(released: Path) -> None:
    (released / "dist").chmod(0o555)
    try:
        with pytest.raises(InstantStyleError, match=r"dist: is read-only, dist cannot be written"):
            release(released)
    finally:
        (released / "dist").chmod(0o755)


def test_a_second_build_in_the_same_folder_is_refused(released: Path) -> None:
    lock = lock_output(released / "dist")
    try:
        with pytest.raises(InstantStyleError, match=r"another process is writing there \(process \d+, since"):
            release(released)
    finally:
        lock.release()
    assert release(released)[1][-1]["event"] == "build_end"


def test_only_must_be_a_target_of_the_recipe(tmp_path: Path) -> None:
    recipe = load_recipe(write_recipe(tmp_path, changes=(('android = ["int8"]', 'android = ["int8"]\nonnx = ["float32"]'),)))
    assert select(recipe, None) is recipe
    chosen = select(recipe, "onnx").targets
    assert (dict(chosen.build), chosen.required) == ({"onnx": ("float32",)}, ("onnx",))
    with pytest.raises(RecipeError, match=r"--only andriod: not built by this recipe, did you mean 'android'\?; allowed: android, onnx"):
        select(recipe, "andriod")


def run_main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    monkeypatch.setattr(sys, "argv", ["instantstyle", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code


def test_exit_code_2_and_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(monkeypatch, "release", str(tmp_path / "gone.toml")) == 2
    output = capsys.readouterr()
    assert output.err == f"instantstyle: {tmp_path / 'gone.toml'}: no such recipe\n"
    assert output.out == ""
    assert run_main(monkeypatch, "release") == 2
    assert run_main(monkeypatch, "no-such-command") == 2
    assert run_main(monkeypatch, "validate", str(tmp_path)) == 2


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A process that a script started in the background ignores Ctrl-C; the tests may run in one."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_says_how_to_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(options: ReleaseOptions) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        return run_release(options)

    monkeypatch.setattr("instantstyle.export.release.release", interrupt)
    assert run_main(monkeypatch, "release", str(write_recipe(tmp_path))) == 130
    assert "interrupted; resume by running the same command" in capsys.readouterr().err


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(options: ReleaseOptions) -> int:
        raise error

    monkeypatch.setattr("instantstyle.export.release.release", fail)


@pytest.mark.parametrize("error", [ZeroDivisionError("a\nb"), EOFError("Ran out of input"), SystemExit(1), SystemExit(0), KeyError()])
def test_a_defect_is_70_one_line_and_a_file_with_the_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    """Never 1, which says that the gate refused: not where typer makes 1 of an EOFError, nor where something calls sys.exit."""
    monkeypatch.chdir(tmp_path)
    fail_with(monkeypatch, error)
    assert run_main(monkeypatch, "release", "r.toml") == 70
    output = capsys.readouterr()
    (log,) = (tmp_path / ".instantstyle").iterdir()
    kind = f"DisguisedError: {type(error).__name__}" if isinstance(error, SystemExit | EOFError) else type(error).__name__
    (line,) = output.err.strip().splitlines()
    assert line.startswith(f"instantstyle: {kind}") and line.endswith(
        f"This is a defect of instantstyle; please report it: the traceback is in {log.relative_to(tmp_path)}"
    )
    assert output.out == "" and "Traceback (most recent call last)" in log.read_text() and ", in fail" in log.read_text()


def test_a_defect_in_a_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".instantstyle").write_text("a file")
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    fail_with(monkeypatch, ZeroDivisionError())
    assert run_main(monkeypatch, "release", "r.toml") == 70
    (log,) = (tmp_path / "temporary").iterdir()
    assert str(log) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), "out of memory \\(MemoryError\\)"),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory: you tried"),
            "out of memory .*smaller sizes",
        ),
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), "the disk is full: could not write /x/y"),
    ],
)
def test_what_the_machine_lacks_is_no_defect(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, told: str
) -> None:
    fail_with(monkeypatch, error)
    assert run_main(monkeypatch, "release", "r.toml") == 2
    assert re.match(f"instantstyle: {told}", capsys.readouterr().err)


@pytest.mark.parametrize("arguments", [("--help",), ("model", "summary")])
def test_a_closed_output_is_neither_a_verdict_nor_a_traceback(arguments: tuple[str, ...]) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", "from instantstyle.cli.main import main; main()", *arguments]
    child = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (child.returncode, child.stderr) == (141, "")


def test_warnings_of_libraries_stay_off_the_screen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def warn(options: ReleaseOptions) -> int:
        warnings.warn("a library is deprecated", DeprecationWarning, stacklevel=1)
        return 0

    monkeypatch.setattr("instantstyle.export.release.release", warn)
    with warnings.catch_warnings(record=True) as seen:
        assert run_main(monkeypatch, "release", "r.toml") == 0
    assert not seen and capsys.readouterr().err == ""


@pytest.mark.parametrize("where", ["import", "call"])
def test_a_factory_that_ends_the_process_is_named(tmp_path: Path, where: str) -> None:
    write_recipe(tmp_path)
    code = "import sys\n" + ("sys.exit(1)\n" if where == "import" else "def make():\n    sys.exit(1)\n")
    factory(tmp_path, code)
    with pytest.raises(RecipeError, match=r"(?s)failed: SystemExit: 1 .*at .*net\.py:\d"):
        release(tmp_path)
