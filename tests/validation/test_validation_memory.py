import os
from pathlib import Path

import numpy as np
import pytest
import validation_fakes as fakes

from instantstyle.system.errors import ExecutionError
from instantstyle.validation.measure.memory import Request, peak_bytes, peak_over_baseline, pipeline_peak_bytes

MIB = 2**20


def request(behaviour: str, graph: str) -> Request:
    photo = np.zeros((1, 3, 32, 48), np.float32)
    inputs = {
        "encoder": {"style": np.zeros((1, 3, 16, 16), np.float32)},
        "painter": {"photo": photo, "code": np.zeros((1, 3), np.float32), "alpha": np.ones((1, 1), np.float32)},
    }
    return Request(fakes.FakeTarget(behaviour), fakes.artifact(), Path(), {graph: inputs[graph]}, 1)


@pytest.mark.slow
def test_peak_is_what_the_artifact_takes_and_not_what_this_process_has() -> None:
    """The runner takes 100 MiB for a moment; this process holds 300 MiB, and Python, NumPy and PyTorch are the baseline."""
    ballast = np.ones(300 * MIB, np.uint8)
    peak = peak_over_baseline(request("memory", "encoder"))
    assert 95 * MIB < peak < 150 * MIB
    assert ballast[-1] == 1


def test_a_crash_is_an_error_with_what_was_printed() -> None:
    with pytest.raises(
        ExecutionError, match=r"(?s)fake-int8-32x48: the process .* ended with code 1: .*segment 7 of the tensor arena is gone"
    ):
        peak_over_baseline(request("crash", "painter"))


def test_peak_of_this_process_remembers_memory_that_was_freed() -> None:
    np.ones(64 * MIB, np.uint8).sum()
    before = peak_bytes()
    ballast = np.ones(before + 64 * MIB - _resident_bytes(), np.uint8)
    del ballast
    assert peak_bytes() >= before + 60 * MIB
    assert pipeline_peak_bytes() >= peak_bytes()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux only")
def test_peak_is_in_bytes() -> None:
    assert _resident_bytes() * 0.9 < peak_bytes() < 64 * 2**30


def _resident_bytes() -> int:
    import psutil

    return psutil.Process(os.getpid()).memory_info().rss
