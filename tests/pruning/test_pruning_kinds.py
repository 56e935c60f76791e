"""Couplings of all kinds: pruned as the whole net with these channels silenced, or an obstacle that is true and can be stepped around."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pruning_helpers import score_and_prune
from pruning_nets import OBSTACLES, PRUNED, HandNorm, conv, net
from torch import Tensor, nn

from instantstyle.compression.pruning.channels import Channels
from instantstyle.compression.pruning.checkpoint import read_pruned, write_pruned
from instantstyle.compression.pruning.prune import Pruned, parameter_count
from instantstyle.compression.pruning.trial import channel_groups, remove_all
from instantstyle.model.graph import Graph, single_graph
from instantstyle.system.errors import PruneError

OUTPUT = ("its channels are an output of the graph",)
# Statistics over channels: without some they are those of the others, which silencing what reads them does not do.
STATISTICS = {
    *("gate", "convnext", "transposed_attention", "spatial_attention", "skip_over_concatenation", "own_kernel", "bottleneck_groups"),
    *("einsum_mixing",),
}
# Queries and keys meet in a product: no weight reads them that could be zero.
READ_BY_EACH_OTHER = {"attention_by_hand"}


def image() -> Tensor:
    return torch.from_numpy(np.random.default_rng(1).uniform(-1, 1, (1, 3, 16, 16)).astype(np.float32))


def built(name: str) -> nn.Module:
    torch.manual_seed(0)
    return (PRUNED[name] if name in PRUNED else OBSTACLES[name][0])().eval()


def pruned(module: nn.Module, channels: dict[str, float]) -> tuple[Graph, dict[str, Pruned]]:
    graph, rows = score_and_prune(single_graph(module).graphs[0], [{"image": image().numpy()}], channels, {}, 2)
    return graph, {row.name: row for row in rows}


def without_half(found: Channels) -> dict[str, Tensor]:
    """By chance, about half of every group."""
    generator = torch.Generator().manual_seed(2)
    return {
        group.name: torch.randperm(group.width, generator=generator)[: (group.width + 1) // 2].sort().values
        for group in found.groups
        if not group.obstacle
    }


@pytest.mark.parametrize("name", PRUNED)
def test_every_group_is_pruned_and_comes_back_from_its_file(name: str, tmp_path: Path) -> None:
    module = built(name)
    graph, rows = pruned(module, {"*": 0.5})
    assert {row.kept / row.width for row in rows.values() if row.obstacle not in OUTPUT} == {0.5}
    assert parameter_count(graph.module) < 0.65 * parameter_count(module)
    path = tmp_path / "pruned.safetensors"
    model = single_graph(graph.module)
    write_pruned(model, tuple(rows.values()), path=path, bare=True, metadata={})
    again, told = read_pruned(single_graph(built(name)), path, bare=True)
    assert [(row.name, row.kept) for row in told] == [(row.name, row.kept) for row in rows.values()]
    with torch.no_grad():
        assert torch.equal(again.graphs[0].module(image()), graph.module(image()))


@pytest.mark.parametrize("name", sorted(PRUNED.keys() - STATISTICS - READ_BY_EACH_OTHER))
def test_output_is_that_of_the_whole_net_whose_readers_are_zero(name: str) -> None:
    module = built(name)
    found = channel_groups(module, (image(),))
    keep = without_half(found)
    slim = remove_all(module, (image(),), found, keep)
    with torch.no_grad():
        got, before = slim(image()), module(image())
        for group in found.groups:
            for slots in group.readers if group.name in keep else ():
                gone = slots.indices[~torch.isin(slots.channels, keep[group.name])]
                module.state_dict()[slots.tensor].index_fill_(slots.axis, gone, 0)
        wanted = module(image())
    assert (got - wanted).abs().max() < 1e-4 * wanted.abs().max()
    assert (wanted - before).abs().max() > 0.01 * wanted.abs().max()


@pytest.mark.parametrize("name", OBSTACLES)
def test_obstacle_is_named_and_leaves_the_others_alone(name: str) -> None:
    module = built(name)
    reason = OBSTACLES[name][1]
    graph, rows = pruned(module, {"*": 0.5})
    (row,) = (row for row in rows.values() if row.obstacle and row.obstacle not in OUTPUT)
    assert row.kept == row.width
    assert any(other.kept < other.width for other in rows.values()) and parameter_count(graph.module) < parameter_count(module)
    with pytest.raises(PruneError, match=reason) as caught:
        pruned(module, {row.name: 0.5, "*": 0.5})
    # What the message says to do.
    assert f"Give '{row.name}' 0" in str(caught.value)
    _, followed = pruned(module, {row.name: 0.0, "*": 0.5})
    assert row.name not in followed and any(other.kept < other.width for other in followed.values())


def test_statistics_are_of_the_channels_that_are_left() -> None:
    """Against the same in float64, by hand."""
    torch.manual_seed(0)
    module = net(HandNorm(16)).eval()
    first, norm, last = (module.get_submodule(path) for path in "023")
    assert isinstance(first, nn.Conv2d) and isinstance(norm, HandNorm) and isinstance(last, nn.Conv2d) and last.bias is not None
    found = channel_groups(module, (image(),))
    kept = torch.tensor([1, 2, 5, 7, 11])
    with torch.no_grad():
        got = remove_all(module, (image(),), found, {"0": kept})(image())
        x = first(image()).relu()[0, kept].double()
        x = (x - x.mean(0)) / (x.var(0, correction=0) + 1e-6).sqrt()
        x = x * norm.weight[kept, None, None] + norm.bias[kept, None, None]
        wanted = nn.functional.conv2d(x[None], last.weight[:, kept].double(), last.bias.double(), padding=1)
    assert (got - wanted).abs().max() < 1e-5


def test_halves_of_a_gate_go_in_pairs() -> None:
    module = built("gate")
    graph, rows = pruned(module, {"model.3.wide": 0.5})
    assert rows.keys() == {"model.3.wide"}
    kept = np.sort(np.argsort(rows["model.3.wide"].importance)[8:])
    whole, slim = (part.get_parameter("3.wide.weight").detach().numpy() for part in (module, graph.module))
    assert np.array_equal(slim, whole[np.concatenate((kept, kept + 16))])


def test_what_no_pattern_asks_for_is_neither_scored_nor_tried() -> None:
    _, rows = pruned(built("literal_view"), {"model.0": 0.0, "model.2.linear": 0.5})
    assert {name: (row.kept, row.obstacle) for name, row in rows.items()} == {"model.2.linear": (8, "")}


def test_any_layer_of_a_group_keeps_it_whole_or_narrows_it() -> None:
    module = nn.Sequential(conv(3, 16), Residual(), conv(16, 3)).eval()
    assert not pruned(module, {"model.1.second": 0.0, "*": 0.5})[1].keys() & {"model.0"}
    assert pruned(module, {"model.1.second": 0.5})[1]["model.0"].kept == 8


class Residual(nn.Module):
    """x and what two convolutions make of it; both weights are one."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = conv(16, 16), conv(16, 16)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x).relu())


def test_tied_weights_stay_tied(tmp_path: Path) -> None:
    module = nn.Sequential(conv(3, 16), Residual(), conv(16, 3)).eval()
    graph, rows = pruned(module, {"*": 0.5})
    assert graph.module.get_parameter("1.first.weight") is graph.module.get_parameter("1.second.weight")
    path = tmp_path / "tied.safetensors"
    write_pruned(single_graph(graph.module), tuple(rows.values()), path=path, bare=True, metadata={})
    again, _ = read_pruned(single_graph(nn.Sequential(conv(3, 16), Residual(), conv(16, 3)).eval()), path, bare=True)
    with torch.no_grad():
        assert torch.equal(again.graphs[0].module(image()), graph.module(image()))
