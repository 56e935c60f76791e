"""A small arm64 system in a folder: Debian's Python, and ONNX Runtime's and NumPy's own aarch64 wheels, in this project's versions."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from instantstyle.system.errors import TargetUnavailableError

EMULATOR = "qemu-aarch64-static"
# With the scalable matrix extension emulated, ONNX Runtime's float kernels do not end.
CPU = "max,sme=off"
DEBIAN = (
    *("libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libexpat1", "libffi8", "libbz2-1.0", "liblzma5", "libssl3"),
    *("python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib"),
)
WHEELS = ("onnxruntime", "numpy")
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")
# ONNX Runtime asks it which processor this is, and crashes where it is x86's.
CPUINFO = """\
processor\t: 0
BogoMIPS\t: 100.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x3
CPU part\t: 0xd0c
CPU revision\t: 1

"""


def make_system(folder: Path) -> None:
    """Fetches it, unless it is there.

    Raises:
        TargetUnavailableError: something that it takes is not installed here, or not to be fetched.
    """
    for program, package in ((EMULATOR, "qemu-user-static"), ("apt-get", "apt"), ("dpkg-deb", "dpkg")):
        if shutil.which(program) is None:
            raise TargetUnavailableError(f"arm64 is emulated by {program}, which is not here: apt-get install {package}, on Debian")
    wanted = "".join(f"{name}=={version(name)}\n" for name in WHEELS)
    done = folder / "complete"
    if done.is_file() and done.read_text() == wanted:
        return
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "proc").mkdir(parents=True)
    (folder / "proc/cpuinfo").write_text(CPUINFO)
    _debian(folder)
    _wheels(folder, wanted.split())
    done.write_text(wanted)


def command(folder: Path, *arguments: str) -> list[str]:
    """That runs the system's Python with these arguments."""
    return [EMULATOR, "-cpu", CPU, "-L", str(folder), str(folder / "usr/bin/python3.11"), *arguments]


def environment(folder: Path) -> dict[str, str]:
    """For it: nothing of this machine's."""
    return {"PYTHONHOME": str(folder / "usr"), "PYTHONPATH": str(folder / "packages"), "PYTHONDONTWRITEBYTECODE": "1"}


def _debian(folder: Path) -> None:
    """The packages of this machine's own sources for arm64, in lists of their own: apt's configuration here stays as it is."""
    apt = folder / "apt"
    for part in ("state/lists/partial", "cache/archives/partial", "packages"):
        (apt / part).mkdir(parents=True)
    (apt / "status").touch()
    settings = {
        "Dir::State": apt / "state",
        "Dir::Cache": apt / "cache",
        "Dir::State::status": apt / "status",
        "APT::Architecture": "arm64",
        "APT::Architectures::": "arm64",
    }
    if os.geteuid() == 0:
        settings["APT::Sandbox::User"] = "root"
    options = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
    _run(["apt-get", "-q", *options, "update"], apt)
    _run(["apt-get", "-q", *options, "download", *DEBIAN], apt / "packages")
    for package in sorted((apt / "packages").glob("*.deb")):
        _run(["dpkg-deb", "-x", str(package), str(folder)], apt)
    shutil.rmtree(apt)


def _wheels(folder: Path, wanted: list[str]) -> None:
    platforms = [part for platform in PLATFORMS for part in ("--platform", platform)]
    interpreter = ["--python-version", "3.11", "--implementation", "cp", "--only-binary=:all:"]
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", str(folder / "packages")]
    _run([*install, *platforms, *interpreter, *wanted], folder)


def _run(line: list[str], folder: Path) -> None:
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise TargetUnavailableError(f"the arm64 system could not be made: `{' '.join(line[:3])} …` failed: {done.stderr.strip()[-300:]}")
