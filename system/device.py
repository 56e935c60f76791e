"""The machine that artifacts are built for and measured on: what may change a result without any file being another."""

import platform
import shutil
import subprocess
from functools import cache
from pathlib import Path

from .host import core_count, cpu_name

NVIDIA_SMI = "nvidia-smi"
QUERY = ("--query-gpu=name,driver_version,compute_cap,memory.total", "--format=csv,noheader")
DRIVER = Path("/proc/driver/nvidia/version")
TIMEOUT_SECONDS = 60


@cache
def device() -> dict[str, object]:
    """Processor, cores, operating system with its version, NVIDIA GPUs and their driver. JSON-able. Never raises."""
    return {
        "cpu": cpu_name(),
        "cores": core_count(),
        "system": [platform.system(), platform.release(), platform.version(), platform.mac_ver()[0], platform.libc_ver()],
        "gpus": _gpus(),
        "driver": DRIVER.read_text(errors="replace") if DRIVER.is_file() else "",
    }


def _gpus() -> list[str]:
    """A line for each: name, driver, compute capability, memory. Empty without GPU, driver or the driver's tool."""
    tool = shutil.which(NVIDIA_SMI)
    if tool is None:
        return []
    try:
        answer = subprocess.run([tool, *QUERY], capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return [f"{NVIDIA_SMI}: {type(error).__name__}"]
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()]
