"""Checkpoints: they rebuild their network, and every way in which one can be wrong has its sentence."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from instantstyle.model.checkpoint import load_checkpoint, load_tensors, read_metadata, read_tensors, save_checkpoint
from instantstyle.model.decoder import DecoderDepths, DecoderWidths
from instantstyle.model.graph import Arrays, Run, TensorKind
from instantstyle.model.network import InstantStyle, NetworkConfig
from instantstyle.model.reference import make, scenario, to_model
from instantstyle.model.style_encoder import HeadCounts
from instantstyle.system.errors import CheckpointError

ROOT = Path(__file__).parents[2]
TINY = NetworkConfig(
    style_dim=12,
    style_stem=(4, 4, 8, 16),
    style_heads=HeadCounts(grid8=(2, 1), grid16=(1,), grid32=(1,)),
    head_dim=4,
    content_stem=8,
    content_widths=(4, 6),
    decoder_widths=DecoderWidths(eighth=16, quarter=8, half=4),
)


@pytest.fixture
def network() -> InstantStyle:
    torch.manual_seed(5)
    return InstantStyle(TINY).eval()


def test_other_widths_rebuild_themselves_bit_for_bit(network: InstantStyle, tmp_path: Path) -> None:
    save_checkpoint(network, tmp_path / "tiny.safetensors")
    loaded = load_checkpoint(tmp_path / "tiny.safetensors")
    assert loaded.config == TINY
    assert isinstance(loaded.config.style_heads, HeadCounts)
    assert not loaded.training
    for name, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.safetensors"]
    (tmp_path / "any").touch()
    assert (tmp_path / "tiny.safetensors").stat().st_mode == (tmp_path / "any").stat().st_mode


def test_half_stores_weights_as_float16_and_vectors_as_float32(network: InstantStyle, tmp_path: Path) -> None:
    nn.init.constant_(network.get_buffer("stylizer.content_encoder.bn1.running_var"), 1e-9)  # would become 0 in float16
    save_checkpoint(network, tmp_path / "half.safetensors", half=True)
    stored = load_file(tmp_path / "half.safetensors")
    assert stored["stylizer.decoder.to_rgb.weight"].dtype == torch.float16
    loaded = load_checkpoint(tmp_path / "half.safetensors").state_dict()
    for name, value in network.state_dict().items():
        wanted = value.half().to(value.dtype) if value.is_floating_point() and value.dim() > 1 else value
        assert loaded[name].dtype == value.dtype
        assert torch.equal(loaded[name], wanted), name


def test_missing_truncated_and_foreign_files(network: InstantStyle, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"gone\.safetensors: no such file"):
        load_checkpoint(tmp_path / "gone.safetensors")
    whole = tmp_path / "whole.safetensors"
    save_checkpoint(network, whole)
    content = whole.read_bytes()
    for length in (0, 5, 100, len(content) - 1):
        cut = tmp_path / f"cut{length}.safetensors"
        cut.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=rf"cut{length}\.safetensors: the file is truncated \({length} bytes\)"):
            load_checkpoint(cut)
    text = tmp_path / "text.safetensors"
    text.write_text("this is a text that is long enough to have a header")
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load_checkpoint(text)
    other = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(2)}, other)
    with pytest.raises(CheckpointError, match="no InstantStyle configuration"):
        load_checkpoint(other)


def test_a_configuration_of_another_version_is_named(network: InstantStyle, tmp_path: Path) -> None:
    path = tmp_path / "new.safetensors"
    save_file(network.state_dict(), path, {"format": "instantstyle", "config": '{"depth": 3}'})
    with pytest.raises(CheckpointError, match="unknown field 'depth'"):
        load_checkpoint(path)


def test_a_file_from_before_a_field_means_what_it_meant(network: InstantStyle, tmp_path: Path) -> None:
    """This checkpoint was written before the network had other depths, paddings and gates."""
    path = ROOT / "checkpoints/instantstyle-12m.safetensors"
    assert not {"content_depths", "decoder_depths", "padding_mode"} & set(json.loads(read_metadata(path)["config"]))
    config = load_checkpoint(path).config
    assert config.content_depths == (3, 4) and config.padding_mode == "zeros"
    assert config.decoder_depths == DecoderDepths(eighth=1, quarter=0, mapping=0, gated=False, epsilon=1e-5)


def test_another_network_comes_back_as_it_was(tmp_path: Path) -> None:
    config = NetworkConfig(
        style_stem=(4, 4, 8, 8),
        style_heads=HeadCounts((1,), (1,), (1,)),
        content_depths=(1, 2),
        decoder_widths=DecoderWidths(16, 8, 8),
        decoder_depths=DecoderDepths(2, 3, 24, gated=True, epsilon=0.02),
        padding_mode="replicate",
    )
    network = InstantStyle(config).eval()
    save_checkpoint(network, tmp_path / "net.safetensors")
    again = load_checkpoint(tmp_path / "net.safetensors")
    assert again.config == config
    inputs = torch.rand(1, 3, 32, 40), torch.randn(1, 256), torch.ones(1, 1)
    with torch.no_grad():
        assert torch.equal(again.stylizer(*inputs), network.stylizer(*inputs))


def test_every_kind_of_misfit_is_named_with_shapes(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(5, 6))
    tensors = dict(module.state_dict())
    tensors["0.weight"] = torch.zeros(4, 3, 5, 5)
    tensors["extra"] = torch.zeros(1)
    tensors["1.bias"] = torch.full((6,), float("nan"))
    del tensors["1.weight"]
    with pytest.raises(CheckpointError) as caught:
        load_tensors(module, tensors, Path("net.safetensors"))
    lines = str(caught.value).splitlines()
    assert lines[0] == "checkpoint net.safetensors does not fit the model Sequential"
    assert lines[1:] == [
        "  missing from the file: 1.weight",
        "  unknown to the model: extra",
        "  of another shape: 0.weight: 4x3x5x5 in the file, 4x3x3x3 in the model",
        "  not finite (NaN or infinity): 1.bias",
    ]


def test_a_misfit_changes_nothing() -> None:
    module = nn.Linear(2, 2)
    before = module.weight.detach().clone()
    with pytest.raises(CheckpointError):
        load_tensors(module, {"weight": torch.zeros(2, 2)}, Path("x"))
    assert torch.equal(module.weight, before)


@pytest.mark.parametrize("wrapped", [False, True])
def test_state_dict_files_load(tmp_path: Path, wrapped: bool) -> None:
    module = nn.Linear(3, 2)
    state = module.state_dict()
    torch.save({"state_dict": state, "epoch": 3} if wrapped else state, tmp_path / "net.pt")
    read = read_tensors(tmp_path / "net.pt")
    assert set(read) == {"weight", "bias"}
    assert torch.equal(read["weight"], module.weight)


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path: Path, writer: str) -> None:
    path, fuse = tmp_path / "evil.pth", tmp_path / "ran"
    if writer == "torch":
        torch.save({"weight": Bomb(fuse)}, path)
    else:
        path.write_bytes(pickle.dumps({"weight": Bomb(fuse)}))
    with pytest.raises(CheckpointError, match="is not unpickled"):
        read_tensors(path)
    assert not fuse.exists()


def test_truncated_and_strange_state_dicts(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save(nn.Linear(100, 100).state_dict(), path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=r"net\.pt: the file is truncated \(5000 bytes\)"):
        read_tensors(path)
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match="expected a state dict"):
        read_tensors(path)


def test_the_scenario_is_the_network(network: InstantStyle) -> None:
    model = to_model(network)
    assert [(graph.name, [spec.name for spec in graph.inputs]) for graph in model.graphs] == [
        ("style_encoder", ["style"]),
        ("stylizer", ["photo", "code", "alpha"]),
    ]
    assert (model.hot_graph, model.size_multiple) == ("stylizer", 8)
    assert [spec.kind for spec in model.sample_inputs] == [TensorKind.IMAGE, TensorKind.IMAGE, TensorKind.SCALAR]
    generator = np.random.default_rng(0)
    specs = model.sample_inputs
    sample = {spec.name: generator.uniform(spec.minimum, spec.maximum, spec.shape((16, 24))).astype(np.float32) for spec in specs}

    def run(name: str) -> Run:
        graph = model.graph(name)

        def call(inputs: Arrays) -> dict[str, np.ndarray]:
            with torch.no_grad():
                return {graph.outputs[0].name: graph.module(*(torch.from_numpy(inputs[spec.name]) for spec in graph.inputs)).numpy()}

        return call

    image = scenario({graph.name: run(graph.name) for graph in model.graphs}, sample)
    with torch.no_grad():
        wanted = network(*(torch.from_numpy(sample[name]) for name in ("photo", "style", "alpha"))).numpy()
    assert image.shape == (1, 3, 16, 24)
    np.testing.assert_allclose(image, wanted, atol=1e-6)


def test_make_without_a_checkpoint_is_seeded_and_leaves_the_generator_alone(network: InstantStyle, tmp_path: Path) -> None:
    torch.manual_seed(9)
    wanted = torch.rand(1)
    torch.manual_seed(9)
    first = make()
    assert torch.equal(torch.rand(1), wanted)
    second = make()
    weights = [model.graph("stylizer").module.get_parameter("decoder.to_rgb.weight") for model in (first, second)]
    assert torch.equal(*weights)
    save_checkpoint(network, tmp_path / "tiny.safetensors")
    assert make(tmp_path / "tiny.safetensors").graph("style_encoder").outputs[0].channels == 12
