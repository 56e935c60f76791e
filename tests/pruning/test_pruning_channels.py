from pathlib import Path

import numpy as np
import pytest
import torch
from pruning_helpers import ignore, score_and_prune
from torch import Tensor, nn
from torch.nn import functional

from instantstyle.compression.pruning.channels import ChannelGroup, keep_best
from instantstyle.compression.pruning.importance import importance
from instantstyle.compression.pruning.prune import parameter_count, ratio_of
from instantstyle.compression.pruning.trial import channel_groups, remove_all
from instantstyle.export.source.factory import import_factory
from instantstyle.model.adain import AdaIN
from instantstyle.model.graph import Graph, TensorKind, TensorSpec, single_graph

MODELS = Path(__file__).parents[1] / "models"


def named(groups: tuple[ChannelGroup, ...]) -> dict[str, ChannelGroup]:
    return {group.name: group for group in groups}


class Coupled(nn.Module):
    """A skip, a residual sum, batch normalisation and AdaIN on the same channels."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 16, 3, 1, 1), nn.BatchNorm2d(16)
        self.inner = nn.Conv2d(16, 16, 3, 1, 1)
        self.adain = AdaIN(16, 5)
        self.last = nn.Conv2d(16, 3, 1)
        nn.init.uniform_(self.norm.weight, 0.5, 1.5)
        nn.init.normal_(self.norm.bias)

    def forward(self, photo: Tensor, code: Tensor, alpha: Tensor) -> Tensor:
        x = functional.relu(self.norm(self.first(photo)))
        return self.last(functional.relu(self.adain(x + self.inner(x), code, alpha)))


@pytest.fixture
def coupled() -> tuple[Coupled, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    return Coupled().eval(), (torch.randn(1, 3, 16, 16), torch.randn(1, 5), torch.full((1, 1), 0.6))


def test_coupled_channels_are_one_group(coupled: tuple[Coupled, tuple[Tensor, ...]]) -> None:
    groups = named(channel_groups(*coupled).groups)
    (body,) = (group for group in groups.values() if "first" in group.producers)
    assert set(body.producers) == {"first", "inner", "adain.affine"}
    assert {reader.layer for reader in body.readers} == {"inner", "last"}
    assert groups["last"].obstacle == "its channels are an output of the graph"


def test_pruned_net_is_the_net_with_rows_and_columns_cut_by_hand(coupled: tuple[Coupled, tuple[Tensor, ...]]) -> None:
    net, inputs = coupled
    found = channel_groups(*coupled)
    (name,) = (group.name for group in found.groups if "first" in group.producers)
    kept = torch.tensor([0, 2, 3, 5, 7, 8, 11, 15])
    pruned = remove_all(net, inputs, found, {name: kept})
    weights = {key: value.double().numpy() for key, value in net.state_dict().items()}
    both = torch.cat((kept, kept + 16))
    assert np.array_equal(pruned.get_parameter("inner.weight").detach(), weights["inner.weight"][kept][:, kept])
    assert np.array_equal(pruned.get_parameter("adain.affine.weight").detach(), weights["adain.affine.weight"][both])
    assert np.array_equal(pruned.get_buffer("norm.running_mean"), weights["norm.running_mean"][kept])
    # Channels whose readers are zero, in the whole net.
    gone = [i for i in range(16) if i not in kept]
    with torch.no_grad():
        net.inner.weight[:, gone] = 0
        net.last.weight[:, gone] = 0
        wanted, got = net(*inputs), pruned(*inputs)
    assert (got - wanted).abs().max() < 1e-5 and wanted.std() > 0.01


def test_importance_of_a_linear_net_is_the_change_without_the_channel() -> None:
    torch.manual_seed(1)
    first = nn.Conv2d(3, 8, 3, 1, 1)
    net = nn.Sequential(first, nn.Conv2d(8, 3, 1)).eval()
    with torch.no_grad():
        first.weight *= torch.linspace(0.1, 2, 8)[:, None, None, None]
    graph = single_graph(net).graphs[0]
    photo = torch.randn(1, 3, 12, 12)
    (group,) = (group for group in channel_groups(net, (photo,)).groups if not group.obstacle)
    found = importance(net, graph, inputs=[{"image": photo.numpy()}] * 100, groups=[group], say=ignore)[group.name].numpy()
    with torch.no_grad():
        whole = net(photo).double()
        wanted = []
        for channel in range(8):
            features = first(photo)
            features[:, channel] = 0
            wanted.append(((net[1](features) - whole).square().sum() / whole.square().sum()).item())
    assert np.allclose(found, wanted, rtol=0.35)
    assert np.corrcoef(found, wanted)[0, 1] > 0.98


@pytest.mark.parametrize(
    ("width", "ratio", "kept"), [(64, 0.25, 48), (64, 0.3, 48), (64, 0.9, 8), (64, 1.0, 8), (64, 0.0, 64), (12, 0.5, 6), (40, 0.05, 40)]
)
def test_widths_stay_multiples_of_eight(width: int, ratio: float, kept: int) -> None:
    scores = torch.rand(width, generator=torch.Generator().manual_seed(0))
    indices = keep_best(scores, ratio, 8)
    assert len(indices) == kept
    assert sorted(scores.tolist(), reverse=True)[:kept] == sorted(scores[indices].tolist(), reverse=True)
    assert indices.tolist() == sorted(indices.tolist())


@pytest.mark.parametrize("name", ["unet", "transform_net", "superres"])
def test_nets_of_other_shapes(name: str) -> None:
    """Users' own nets: transposed convolutions, concatenations, instance norms, pixel shuffle."""
    torch.manual_seed(0)
    net = import_factory(f"{name}.py:make", MODELS)[0]().eval()
    graph = single_graph(net).graphs[0]
    inputs = [{"image": np.random.default_rng(0).uniform(-1, 1, (1, 3, 64, 64)).astype(np.float32)}]
    pruned, rows = score_and_prune(graph, inputs, {"*": 0.5}, {}, 4)
    assert parameter_count(pruned.module) < 0.6 * parameter_count(net)
    assert any(row.reached == 0.5 for row in rows) and any(row.obstacle for row in rows)
    with torch.no_grad():
        image = torch.from_numpy(inputs[0]["image"])
        assert pruned.module(image).shape == net(image).shape


def test_ratio_0_changes_nothing(coupled: tuple[Coupled, tuple[Tensor, ...]]) -> None:
    net, inputs = coupled
    specs = (TensorSpec("photo"), TensorSpec("code", TensorKind.VECTOR, 5), TensorSpec("alpha", TensorKind.SCALAR, 1))
    graph = Graph("stylizer", net, specs, (TensorSpec("image"),))
    arrays = {spec.name: value.numpy() for spec, value in zip(specs, inputs, strict=True)}
    assert score_and_prune(graph, [arrays], {"*": 0.0}, {"*": 0.0}, 8)[0] is graph
    before = {key: value.clone() for key, value in net.state_dict().items()}
    pruned, _ = score_and_prune(graph, [arrays], {"*": 0.5}, {}, 8)
    assert pruned.module is not net and all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_first_pattern_that_matches_counts() -> None:
    ratios = {"stylizer.decoder.to_*": 0.0, "stylizer.decoder.*": 0.25, "stylizer.*": 0.5}
    wanted = {"stylizer.decoder.to_half": 0.0, "stylizer.decoder.a.b": 0.25, "stylizer.content.x": 0.5, "style_encoder.x": 0.0}
    assert {name: ratio_of([name], ratios) for name in wanted} == wanted
