import numpy as np
import pytest
import torch
from pruning_helpers import score_and_prune
from torch import Tensor, nn

from instantstyle.compression.pruning.heads import expose_heads
from instantstyle.model.graph import Graph, TensorKind, TensorSpec, single_graph
from instantstyle.model.slim_attention import SlimAttention
from instantstyle.model.style_encoder import GridAttention, HeadCounts, StyleEncoder
from instantstyle.system.errors import PruneError


def style_encoder_graph() -> Graph:
    torch.manual_seed(0)
    encoder = StyleEncoder((4, 8, 8, 16), HeadCounts(grid8=(4, 4), grid16=(6,), grid32=(2,)), 8, 12).eval()
    with torch.no_grad():
        for module in encoder.modules():
            if isinstance(module, GridAttention):
                nn.init.normal_(module.out.weight, std=0.2)
                # One head of each that hardly says anything.
                module.out.weight[:, :8] *= 0.01
    return Graph("style_encoder", encoder, (TensorSpec("style", fixed_size=(512, 512)),), (TensorSpec("code", TensorKind.VECTOR, 12),))


@pytest.fixture(scope="module")
def graph() -> Graph:
    return style_encoder_graph()


@pytest.fixture(scope="module")
def styles() -> list[dict[str, np.ndarray]]:
    coarse = np.random.default_rng(0).uniform(-1, 1, (2, 1, 3, 16, 16))
    return [{"style": image.repeat(32, axis=2).repeat(32, axis=3).astype(np.float32)} for image in coarse]


def test_heads_are_gone_and_the_rest_says_the_same(graph: Graph, styles: list[dict[str, np.ndarray]]) -> None:
    pruned, rows = score_and_prune(graph, styles, {}, {"style_encoder.attention*": 0.25}, 8)
    kept = {row.name: row.kept for row in rows}
    # Of 16 heads 4 go: the four that were made silent.
    assert kept == {
        "style_encoder.attention32.0": 1,
        "style_encoder.attention16.0": 5,
        "style_encoder.attention8.0": 3,
        "style_encoder.attention8.1": 3,
    }
    assert all(min(row.importance) == row.importance[0] for row in rows)
    attention = pruned.module.get_submodule("attention16.0")
    assert isinstance(attention, GridAttention)
    whole = graph.module.get_submodule("attention16.0")
    assert isinstance(whole, GridAttention)
    assert attention.query.weight.shape == (40, 16, 1, 1) and attention.out.weight.shape == (16, 40, 1, 1)
    assert torch.equal(attention.value.weight, whole.value.weight[8:])
    # The whole net with these heads silenced.
    silenced = style_encoder_graph().module
    image = torch.from_numpy(styles[0]["style"])
    with torch.no_grad():
        for module in silenced.modules():
            if isinstance(module, GridAttention):
                module.out.weight[:, :8] = 0
        wanted, got = silenced(image), pruned.module(image)
    assert (got - wanted).abs().max() < 1e-5 * wanted.abs().max()


def test_every_module_keeps_its_best_head(graph: Graph, styles: list[dict[str, np.ndarray]]) -> None:
    pruned, rows = score_and_prune(graph, styles, {}, {"*": 1.0}, 8)
    assert [row.kept for row in rows] == [1, 1, 1, 1]
    for row in rows:
        path = row.name.removeprefix("style_encoder.")
        best = int(np.argmax(row.importance))
        whole, slim = (module.get_submodule(path) for module in (graph.module, pruned.module))
        assert isinstance(whole, GridAttention) and isinstance(slim, GridAttention)
        assert torch.equal(slim.key.weight, whole.key.weight[8 * best : 8 * best + 8])


def test_channels_of_heads_are_left_to_heads(graph: Graph, styles: list[dict[str, np.ndarray]]) -> None:
    pruned, rows = score_and_prune(graph, styles, {"*": 0.5}, {}, 8)
    assert not any("query" in row.name or "key" in row.name or "value" in row.name for row in rows)
    attention = pruned.module.get_submodule("attention16.0")
    assert isinstance(attention, GridAttention) and attention.heads == 6 and attention.query.in_channels == 8


class Transformer(nn.Module):
    """A user's net with ``nn.MultiheadAttention`` over the cells of a grid."""

    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        self.stem, self.out = nn.Conv2d(3, 24, 4, 4), nn.ConvTranspose2d(24, 3, 4, 4)
        self.attention = nn.MultiheadAttention(24, 6, batch_first=batch_first)
        self.batch_first = batch_first
        nn.init.normal_(self.attention.in_proj_bias)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        tokens = x.flatten(2).permute(0, 2, 1) if self.batch_first else x.flatten(2).permute(2, 0, 1)
        mixed = self.attention(tokens, tokens, tokens, need_weights=False)[0]
        mixed = mixed.permute(0, 2, 1) if self.batch_first else mixed.permute(1, 2, 0)
        return self.out(x + mixed.unflatten(2, x.shape[2:]))


@pytest.mark.parametrize("batch_first", [True, False])
def test_heads_of_multihead_attention(batch_first: bool) -> None:
    torch.manual_seed(0)
    net = Transformer(batch_first).eval()
    graph = single_graph(net).graphs[0]
    arrays = {"image": np.random.default_rng(0).uniform(-1, 1, (1, 3, 32, 32)).astype(np.float32)}
    image = torch.from_numpy(arrays["image"])
    pruned, (row,) = score_and_prune(graph, [arrays], {}, {"*": 0.5}, 8)
    assert (row.width, row.kept) == (6, 3)
    slim = pruned.module.get_submodule("attention")
    assert isinstance(slim, SlimAttention) and slim.heads == 3
    gone = sorted(range(6), key=lambda head: row.importance[head])[:3]
    with torch.no_grad():
        for head in gone:
            net.attention.out_proj.weight[:, head * 4 : head * 4 + 4] = 0
        wanted, got = net(image), pruned.module(image)
    assert (got - wanted).abs().max() < 1e-5
    assert isinstance(graph.module.get_submodule("attention"), nn.MultiheadAttention)


def test_multihead_attention_that_cannot_lose_heads_says_so() -> None:
    net = nn.Sequential(nn.Identity(), nn.MultiheadAttention(8, 2, kdim=4, vdim=4))
    with pytest.raises(PruneError, match="kdim"):
        expose_heads(net)


def test_heads_inside_a_transformer_layer() -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 4, 16, batch_first=True).eval()
    tokens = torch.randn(1, 6, 8)
    with torch.no_grad():
        wanted = layer(tokens)
        assert expose_heads(layer).keys() == {"self_attn"}
        assert (layer(tokens) - wanted).abs().max() < 1e-5
        with pytest.raises(PruneError, match="src_mask|attn_mask"):
            layer(tokens, src_mask=torch.zeros(6, 6))
