"""Computed weights become parameters of the value that they had in eval mode."""

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

from instantstyle.model.parametrizations import fold_parametrizations


class Symmetric(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight + weight.flip(-1)


def old(function: Callable[[nn.Module], nn.Module]) -> Callable[[nn.Module], nn.Module]:
    def apply(layer: nn.Module) -> nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(layer)

    return apply


def parametrized(layer: nn.Module) -> nn.Module:
    parametrize.register_parametrization(layer, "weight", Symmetric())
    return layer


NORMS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "weight norm hook": old(nn.utils.weight_norm),
    "weight norm": parametrizations.weight_norm,
    "spectral norm hook": nn.utils.spectral_norm,
    "spectral norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "own": parametrized,
    "two at once": lambda layer: parametrized(parametrizations.weight_norm(layer)),
    "mask": lambda layer: prune.l1_unstructured(layer, "weight", 0.3),
}


@pytest.mark.parametrize("norm", NORMS.values(), ids=NORMS)
@pytest.mark.parametrize("make", [lambda: nn.Conv2d(4, 4, 3), lambda: nn.ConvTranspose2d(4, 4, 2, 2)], ids=["conv", "transposed"])
def test_a_folded_layer_computes_what_it_did_in_eval_mode(make: Callable[[], nn.Module], norm: Callable[[nn.Module], nn.Module]) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(norm(make()), nn.ReLU()).train()
    image = torch.rand(1, 4, 8, 8)
    net(image)  # spectral norm learns in training mode
    net.eval()
    with torch.no_grad():
        wanted = net(image)
    fold_parametrizations(net.train())
    with torch.no_grad():
        torch.testing.assert_close(net(image), wanted, rtol=1e-6, atol=1e-6)
    assert {name for name, _ in net.named_parameters()} == {"0.weight", "0.bias"}
    assert not list(net.named_buffers())
    assert not net[0]._forward_pre_hooks
    assert isinstance(net[0].weight, nn.Parameter)
