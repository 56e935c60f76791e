"""The benchmark of serving: what it changes in a repository, and what it makes of its turns."""

from pathlib import Path

import pytest
from triton_load import Turn, summary
from triton_page import as_markdown
from triton_serving import variant

from instantstyle.targets.triton.config import CONFIG, Tensor, of_ensemble, of_graph
from instantstyle.targets.triton.options import TritonOptions
from instantstyle.validation.results.timing import Machine


def test_a_variant_differs_in_its_numbers_alone(tmp_path: Path) -> None:
    tensors = (Tensor("x", (3, 8, 8)),)
    texts = {
        "net": of_graph("net", tensors, tensors, TritonOptions(), batched=True),
        "whole": of_ensemble("whole", tensors, tensors, ()),
    }
    for name, text in texts.items():
        (tmp_path / "source" / name).mkdir(parents=True)
        (tmp_path / "source" / name / CONFIG).write_text(text)
    found = variant(tmp_path / "source", tmp_path / "other", instances=3, threads=2, batches=False)
    assert (found / "whole" / CONFIG).read_text() == texts["whole"]
    wanted = (
        texts["net"]
        .replace("count: 2", "count: 3")
        .replace('thread_count" value { string_value: "1"', 'thread_count" value { string_value: "2"', 1)
    )
    assert (found / "net" / CONFIG).read_text() == wanted.replace("dynamic_batching { max_queue_delay_microseconds: 1000 }\n", "")


def of(per_second: float, *, server_s: float = 0.6) -> Turn:
    """Four requests in a turn."""
    return Turn((100.0, 200.0, 300.0, 400.0), 4 / per_second, server_s, 0.4, 0.25)


def test_ratios_are_of_the_same_round() -> None:
    row = summary("several", 4, [of(2.0), of(8.0), of(3.0)], [of(1.0), of(2.0), of(1.0)])
    assert (row.requests, row.per_second, row.ratio, row.ratio_low, row.ratio_high) == (12, 3.0, 3.0, 2.0, 4.0)
    assert (row.p50_ms, row.p95_ms, row.elsewhere) == (250.0, None, 0.25)
    # 1.8 s for 12 requests; 3 s of server and clients in 2 + 0.5 + 4 / 3 s.
    assert row.server_s == pytest.approx(0.15) and row.cores == pytest.approx(3 / (2 + 0.5 + 4 / 3))
    page = as_markdown("net on Triton", Machine("a CPU", 2, 1, 0.5, 1.5, "Linux"), [row], "SSIM 1")
    assert "| several | 4 | 12 | 3.00 | 3.00 (2.00 to 4.00) | 250 ms | - | 150 ms |" in page and "load 0.5 before and 1.5 after" in page
    assert "**Others took up to 25% of the machine: times and ratios are of that, and decide nothing; processor times do.**" in page


def test_a_95th_percentile_wants_forty_requests() -> None:
    assert summary("many", 4, [of(1.0)] * 10, [of(1.0)] * 10).p95_ms == 400.0
