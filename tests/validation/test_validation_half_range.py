"""Headroom in float16: the largest magnitudes, against NumPy, and the limit on them."""

import numpy as np
import pytest
import torch
import validation_fakes as fakes
from torch import Tensor, nn

from instantstyle.compression.quantization.capture import capture
from instantstyle.model.graph import Sample, single_graph
from instantstyle.recipe.limits import Limits
from instantstyle.recipe.precision import Precision
from instantstyle.recipe.recipe import QuantizeSettings
from instantstyle.validation.judge.verdict import judge
from instantstyle.validation.measure.magnitudes import measure_magnitudes
from instantstyle.validation.report.half_range import rows as half_rows
from instantstyle.validation.results.codec import decode, encode
from instantstyle.validation.results.half_range import HalfRange, Magnitude
from instantstyle.validation.results.measurements import Measurements


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(400.0))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gain


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block, self.norm = nn.Sequential(Inner()), nn.InstanceNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        loud = self.block(x)
        mask = torch.where(x > 2, -torch.inf, 0.0)
        return torch.tanh(self.norm(loud) + (loud * loud).mean() * 1e-6 + torch.exp(mask))


def measured() -> tuple[Magnitude, ...]:
    model = single_graph(Net())
    program = capture(model, (16, 16), table=None, tuned={}, settings=QuantizeSettings(method="off"))
    ramp = np.linspace(-0.5, 0.25, 3 * 256, dtype=np.float32).reshape(1, 3, 16, 16)
    return measure_magnitudes(model, program, [Sample("soft", {"image": ramp}), Sample("hard", {"image": 2 * ramp})], lambda *_: None)


def test_magnitudes_are_those_of_the_worst_sample() -> None:
    rows = {(row.module_path, row.operator): row for row in measured()}
    assert rows["block.0", "mul"].largest == pytest.approx(400) and rows["block.0", "mul"].sample == "hard"
    assert rows["", "square"].largest == pytest.approx(160_000)
    assert rows["norm", "instance_norm"].square == pytest.approx(160_000)
    assert max(row.largest for row in rows.values()) < 200_000  # an infinity that is meant is no magnitude


def test_what_a_target_keeps_in_float32_does_not_count() -> None:
    rows = measured()
    everything = HalfRange.of(rows)
    assert everything is not None and everything.operator == "square" and everything.share == pytest.approx(160_000 / 65504)
    some = HalfRange.of(rows, {"square", "mean"})
    assert some is not None and (some.module_path, some.operator) == ("block.0", "mul")
    assert some.share == pytest.approx(400 / 65504) and some.square_share == pytest.approx(160_000 / 65504)
    assert some.square_module_path == "model.norm"
    assert HalfRange.of(()) is None


def half(share: float) -> HalfRange:
    return HalfRange("painter", "decoder.up", "conv2d", share * 65504, share, "a")


@pytest.mark.parametrize(("share", "failed"), [(0.5, False), (0.500001, True), (3.0, True), (float("nan"), True)])
def test_the_limit_is_a_half_by_default(share: float, failed: bool) -> None:
    found = judge(fakes.measurements(half_range=half(share)), Limits())
    assert [failure.limit for failure in found] == ["max_half_share"] * failed
    if failed:
        assert "'painter.decoder.up' (conv2d)" in found[0].sentence and "in sample 'a'" in found[0].sentence
        assert ("Inf" in found[0].sentence) == (share > 1)


def test_another_limit_and_none() -> None:
    assert judge(fakes.measurements(half_range=half(0.9)), Limits(max_half_share=0.95)) == ()
    assert judge(fakes.measurements(half_range=half(0.9)), Limits(max_half_share=None)) == ()


def test_a_float16_artifact_without_a_measured_range_fails() -> None:
    (failure,) = judge(fakes.measurements(precision=Precision.FLOAT16), Limits())
    assert failure.limit == "max_half_share" and "was not measured" in failure.sentence


def test_an_operation_that_became_infinite_fails_although_every_output_is_finite() -> None:
    good = fakes.measurements()
    executions = tuple(type(run)(**{**vars(run), "overflow": "module 'first': 7e4 is Inf in float16"}) for run in good.executions[:1])
    (failure,) = judge(fakes.measurements(executions=(*executions, *good.executions[1:])), Limits())
    assert failure.limit == "finite" and "module 'first': 7e4 is Inf in float16" in failure.sentence


def test_it_is_stored_and_reported(tmp_path) -> None:
    stored = fakes.measurements(half_range=half(0.25))
    assert decode(Measurements, encode(stored), "here") == stored
    bundle = fakes.bundle_in(tmp_path, half_range=half(0.25))
    (row,) = half_rows(bundle.artifacts)
    assert row[:6] == ("android-int8-512x512", "painter", "decoder.up", "conv2d", "1.638e+04", "0.2500")
