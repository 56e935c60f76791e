"""What this machine's processor does to int8 arithmetic."""

import os
import platform
from pathlib import Path

_X86 = ("x86_64", "AMD64", "i386", "i686")
_CPUINFO = Path("/proc/cpuinfo")


def int8_saturates() -> bool:
    """Whether int8 kernels here lose the largest sums: x86 without VNNI adds pairs of uint8 x int8 products in 16 bits.

    Arm's kernels do not. False where the system does not tell.
    """
    return platform.machine() in _X86 and _CPUINFO.is_file() and not has_vnni(_CPUINFO.read_text(encoding="ascii", errors="replace"))


def has_vnni(cpuinfo: str) -> bool:
    """Whether the flags in the text of Linux's ``/proc/cpuinfo`` have VNNI, in its AVX-512 or its AVX form."""
    flags = next((line.split(":", 1)[1].split() for line in cpuinfo.splitlines() if line.startswith("flags")), [])
    return "avx512_vnni" in flags or "avx_vnni" in flags


def cpu_name() -> str:
    """The processor's marketing name where the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def core_count() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
