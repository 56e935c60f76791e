"""Rewrites state what they require and ensure, and are run in no other order."""

import numpy as np
import onnx_ir as ir
import pytest
from graphs import Net, grids

from instantstyle.targets.android.target import android_rewrites
from instantstyle.targets.onnx.rewrites.apply import RewriteError, apply
from instantstyle.targets.onnx.rewrites.contract import UINT8_ACTIVATIONS, Change, Rewrite
from instantstyle.targets.onnx.rewrites.integer_pad import integer_pad
from instantstyle.targets.onnx.rewrites.narrow_weights import narrow_weights
from instantstyle.targets.onnx.rewrites.pad_narrow_convolutions import pad_narrow_convolutions
from instantstyle.targets.onnx.rewrites.quantize_bias import quantize_bias
from instantstyle.targets.onnx.rewrites.refine_non_negative import refine_non_negative
from instantstyle.targets.onnx.rewrites.uint8_activations import uint8_activations


def signed_model():
    """A padded convolution with 4 outputs, a bias and a ReLU, between symmetric int8 grids."""
    net, random = Net(x=[1, 4, 8, 8]), np.random.default_rng(2)
    padded = net.grid(net.add("Pad", net.grid("x"), net.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1])), mode="reflect"))
    weight, bias = net.weight(random.integers(-127, 128, (4, 4, 3, 3)), np.full(4, 2.0**-10)), net.constant(np.ones(4, np.float32))
    return net.model(net.grid(net.add("Relu", net.add("Conv", padded, weight, bias, name="conv"))))


@pytest.mark.parametrize(
    ("rewrites", "broken"),
    [
        ((uint8_activations, refine_non_negative), "activations are int8"),
        ((quantize_bias, refine_non_negative), "biases are float"),
        ((integer_pad, uint8_activations), "DequantizeLinear alone reads quantised activations"),
        ((pad_narrow_convolutions, uint8_activations), "DequantizeLinear alone reads quantised activations"),
        ((quantize_bias, narrow_weights(["node_conv"])), "biases are float"),
    ],
    ids=lambda value: "" if isinstance(value, str) else " ".join(rewrite.name for rewrite in value),
)
def test_a_rewrite_after_one_that_ends_what_it_requires_is_refused(rewrites: tuple[Rewrite, ...], broken: str) -> None:
    first, second = (rewrite.name for rewrite in rewrites)
    with pytest.raises(RewriteError, match=rf"^{second} requires that {broken}, which \S+ is not after {first}; run it before$"):
        apply(signed_model(), rewrites)
    assert all(apply(signed_model(), [rewrite])[1] for rewrite in rewrites)


def test_the_order_of_the_product_is_allowed() -> None:
    changes = apply(signed_model(), android_rewrites())[1]
    assert {change.rewrite for change in changes} == {each.name for each in android_rewrites()} - {
        *("center_norms", "fold_channel_scales", "fold_repeated_quantization", "fold_stride", "keep_cubic_layout"),
        *("integer_gate", "integer_mean", "integer_shuffle", "plain_prelu"),
    }


def test_a_rewrite_that_does_not_reach_what_it_ensures_is_a_defect() -> None:
    def half(model: ir.Model) -> tuple[Change, ...]:
        return ()

    with pytest.raises(RewriteError, match="half ensures that activations with one scale are uint8, and left "):
        apply(signed_model(), [Rewrite("half", half, ensures=(UINT8_ACTIVATIONS,))])


def test_a_grid_of_the_model_s_own_is_no_matter_of_order() -> None:
    net = Net(x=[1, 4, 8, 8])
    grid = (net.constant(np.float32(0.5)), net.constant(np.uint8(3)))
    own = net.add("DequantizeLinear", net.add("QuantizeLinear", "x", *grid), *grid)
    refined, changes = apply(net.model(net.grid(net.add("Relu", own, name="end"))), [refine_non_negative])
    assert len(changes) == 1
    assert grids(refined)["end"][1:] == (-128, "int8")
