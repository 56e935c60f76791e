from pathlib import Path

import numpy as np
import pytest
import torch
from pruning_helpers import score_and_prune

from instantstyle.export.source.factory import import_factory
from instantstyle.model.checkpoint import PRUNED, fit, load_checkpoint, load_tensors, read_tensors, save_checkpoint, save_tensors
from instantstyle.model.decoder import DecoderWidths
from instantstyle.model.graph import single_graph
from instantstyle.model.network import InstantStyle, NetworkConfig
from instantstyle.model.reference import to_model
from instantstyle.model.style_encoder import GridAttention, HeadCounts
from instantstyle.system.errors import CheckpointError

MODELS = Path(__file__).parents[1] / "models"


def pruned_network() -> InstantStyle:
    torch.manual_seed(0)
    heads = HeadCounts(grid8=(4,), grid16=(4,), grid32=(2,))
    config = NetworkConfig(16, (8, 8, 8, 16), heads, 8, 16, (8, 16), DecoderWidths(eighth=32, quarter=16, half=16))
    network = InstantStyle(config).eval()
    random = np.random.default_rng(0)
    model = to_model(network)
    arrays = {
        "style": random.uniform(-1, 1, (1, 3, 512, 512)).astype(np.float32),
        "photo": random.uniform(-1, 1, (1, 3, 64, 64)).astype(np.float32),
        "code": random.normal(size=(1, 16)).astype(np.float32),
        "alpha": np.ones((1, 1), np.float32),
    }
    encoder, stylizer = (score_and_prune(graph, [arrays], {"*": 0.5}, {"*": 0.5}, 8)[0].module for graph in model.graphs)
    network.style_encoder, network.stylizer = encoder, stylizer  # type: ignore[assignment]
    return network


def test_pruned_checkpoint_comes_back_in_its_widths(tmp_path: Path) -> None:
    network, path = pruned_network(), tmp_path / "pruned.safetensors"
    save_checkpoint(network, path)
    again = load_checkpoint(path)
    photo, style, alpha = torch.randn(1, 3, 48, 64), torch.randn(1, 3, 512, 512), torch.full((1, 1), 0.7)
    with torch.no_grad():
        assert torch.equal(again(photo, style, alpha), network(photo, style, alpha))
    heads = [sum(m.heads for m in net.modules() if isinstance(m, GridAttention)) for net in (network, again)]
    assert heads[0] == heads[1] < 10
    for path_, module in network.named_modules():
        for key in ("in_channels", "out_channels", "num_features", "in_features", "out_features"):
            assert getattr(module, key, None) == getattr(again.get_submodule(path_), key, None)
    save_checkpoint(again, tmp_path / "twice.safetensors")
    once, twice = (read_tensors(file) for file in (path, tmp_path / "twice.safetensors"))
    assert once.keys() == twice.keys() and all(torch.equal(once[name], twice[name]) for name in once)


@pytest.mark.parametrize("name", ["unet", "superres"])
def test_pruned_checkpoint_of_a_users_net(name: str, tmp_path: Path) -> None:
    make = import_factory(f"{name}.py:make", MODELS)[0]
    image = np.random.default_rng(0).uniform(-1, 1, (1, 3, 32, 32)).astype(np.float32)
    pruned = score_and_prune(single_graph(make().eval()).graphs[0], [{"image": image}], {"*": 0.5}, {}, 4)[0].module
    path = tmp_path / "pruned.safetensors"
    save_tensors(pruned.state_dict(), path, {PRUNED: "true"})
    again = make().eval()
    tensors = read_tensors(path)
    fit(again, tensors, path)
    load_tensors(again, tensors, path)
    with torch.no_grad():
        assert torch.equal(again(torch.from_numpy(image)), pruned(torch.from_numpy(image)))


def test_shapes_count_only_where_a_checkpoint_says_that_it_is_pruned(tmp_path: Path) -> None:
    make = import_factory("unet.py:make", MODELS)[0]
    image = np.zeros((1, 3, 32, 32), np.float32)
    pruned = score_and_prune(single_graph(make().eval()).graphs[0], [{"image": image}], {"*": 0.5}, {}, 4)[0].module
    path = tmp_path / "plain.safetensors"
    save_tensors(pruned.state_dict(), path, {})
    again = make().eval()
    fit(again, read_tensors(path), path)
    with pytest.raises(CheckpointError, match="of another shape"):
        load_tensors(again, read_tensors(path), path)
