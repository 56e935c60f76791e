"""Checkpoints as others write them: told apart by content, what fits is taken, what does not has its sentence, nothing is executed."""

import argparse
import copy
import datetime
import gzip
import io
import pathlib
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from instantstyle.model.checkpoint import load_weights
from instantstyle.system.errors import CheckpointError


class Net(nn.Module):
    """A convolution with batch norm, an inner block, and a table that is computed, not stored."""

    def __init__(self, seed: int = 1) -> None:
        torch.manual_seed(seed)
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.last = nn.Conv2d(4, 3, 1)
        self.register_buffer("table", torch.arange(5.0), persistent=False)
        nn.init.uniform_(self.body[1].running_mean)  # type: ignore[arg-type]


WANTED = Net(7).state_dict()
OTHER = Net(8).state_dict()
Write = Callable[[Any, Path], None]


def save_legacy(content: Any, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def named(prefix: str, state: Mapping[str, Tensor] = WANTED) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in state.items()}


def load(path: Path, key: str | None = None, module: nn.Module | None = None) -> tuple[dict[str, Tensor], str]:
    module = module or Net()
    notes = load_weights(module, path, key)
    return module.state_dict(), "".join(notes)


def same(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor] = WANTED) -> bool:
    return state.keys() == wanted.keys() and all(torch.equal(value, wanted[name]) for name, value in state.items())


@pytest.mark.parametrize("name", ["net.pth", "net.safetensors", "net.ckpt", "net", "große Gewichte é.bin"])
@pytest.mark.parametrize("write", [torch.save, save_legacy, save_file])
def test_content_decides_and_not_the_name(tmp_path: Path, write: Write, name: str) -> None:
    write(dict(WANTED), tmp_path / name)
    state, notes = load(tmp_path / name)
    assert same(state) and notes == ""


OPTIMIZER = torch.optim.Adam(Net().parameters()).state_dict()
OWN_KEYS: dict[str, tuple[Any, str]] = {
    "state_dict": ({"state_dict": WANTED, "epoch": 3, "optimizer": OPTIMIZER}, "taken from 'state_dict'"),
    "model_state_dict": ({"model_state_dict": WANTED, "loss": 0.5, "optimizer_state_dict": OPTIMIZER}, "taken from 'model_state_dict'"),
    "params_ema alone": ({"params_ema": WANTED}, "taken from 'params_ema'"),
    "any name": ({"my weights": WANTED, "args": {"lr": 1e-3}}, "taken from 'my weights'"),
    "deeper": ({"models": {"net_g": WANTED, "net_d": {"w": torch.ones(2)}}}, "taken from 'models.net_g'"),
    "the same twice": ({"params": WANTED, "params_ema": dict(WANTED)}, "taken from 'params'"),
    "DataParallel": (named("module."), "prefix 'module.' removed"),
    "compiled": (named("_orig_mod."), "prefix '_orig_mod.' removed"),
    "nested": ({"ema": named("module._orig_mod.net.")}, "taken from 'ema'; prefix 'module._orig_mod.net.' removed"),
    "all behind a prefix of no known name": (named("painter."), "prefix 'painter.' removed"),
    "compiled inside": ({n.replace("body.", "body._orig_mod."): v for n, v in WANTED.items()}, "_orig_mod removed from inside of names"),
    "averaged": ({"n_averaged": torch.tensor(7), **named("module.")}, "prefix 'module.' removed"),
    "Lightning": (
        {"state_dict": {**named("generator."), "loss.weight": torch.ones(3), "discriminator.w": torch.ones(1)}, "global_step": 9},
        "taken from 'state_dict'; prefix 'generator.' removed; left out: loss, discriminator",
    ),
    "no counters": ({n: v for n, v in WANTED.items() if "num_batches" not in n}, ""),
    "a table that the model computes": ({**WANTED, "table": torch.zeros(5)}, "left out, because the model computes them: table"),
    "plain values": (
        {
            "model": WANTED,
            "args": argparse.Namespace(lr=1e-3, out=pathlib.Path("x")),
            "when": datetime.datetime(2026, 1, 1),
            "best": np.float64(0.5),
            "curve": np.arange(3.0),
        },
        "taken from 'model'",
    ),
}


@pytest.mark.parametrize("write", [torch.save, save_legacy])
@pytest.mark.parametrize("case", OWN_KEYS)
def test_what_fits_is_found_and_said(tmp_path: Path, case: str, write: Write) -> None:
    content, told = OWN_KEYS[case]
    write(content, tmp_path / "net.pth")
    state, notes = load(tmp_path / "net.pth")
    wanted = {**WANTED, "body.1.num_batches_tracked": state["body.1.num_batches_tracked"]} if case == "no counters" else WANTED
    assert same(state, wanted) and notes == (f"net.pth: {told}" if told else "")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_converted_and_said(tmp_path: Path, dtype: torch.dtype) -> None:
    torch.save({name: value.to(dtype) if value.is_floating_point() else value for name, value in WANTED.items()}, tmp_path / "net.pth")
    state, notes = load(tmp_path / "net.pth")
    assert same(state, {name: value.to(dtype).to(value.dtype) if value.is_floating_point() else value for name, value in WANTED.items()})
    assert notes == f"net.pth: {str(dtype).removeprefix('torch.')} converted to float32"


def test_several_that_fit_are_never_guessed(tmp_path: Path) -> None:
    torch.save({"params": OTHER, "params_ema": WANTED, "step": 4}, tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match=r'params, params_ema in it all fit the model Net, .* checkpoint_key = "params_ema" \('):
        load(tmp_path / "net.pth")
    assert same(load(tmp_path / "net.pth", "params_ema")[0]) and same(load(tmp_path / "net.pth", "params")[0], OTHER)
    with pytest.raises(CheckpointError, match=r"(?s)no tensors under 'param'.*found in the file: params \(\d+ tensors\), .*step"):
        load(tmp_path / "net.pth", "param")
    torch.save({"state_dict": {**named("netG_A.", OTHER), **named("netG_B.")}}, tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match=r"state_dict\.netG_A, state_dict\.netG_B in it all fit"):
        load(tmp_path / "net.pth", "state_dict")
    assert same(load(tmp_path / "net.pth", "state_dict.netG_B")[0])


def test_a_part_of_a_larger_model_is_taken_only_if_asked_for(tmp_path: Path) -> None:
    torch.save({**named("first."), "second.weight": torch.ones(2)}, tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match=r"lies under 'first' does, .*\(second\.weight\).* checkpoint_key = \"first\""):
        load(tmp_path / "net.pth")
    assert same(load(tmp_path / "net.pth", "first")[0])


def test_what_does_not_fit_is_named_with_what_there_is(tmp_path: Path) -> None:
    short = {name: value for name, value in WANTED.items() if name != "last.bias"}
    torch.save({"state_dict": {**short, "last.weight": torch.ones(3, 4, 3, 3), "more": torch.ones(1)}, "epoch": 3}, tmp_path / "net.pth")
    with pytest.raises(CheckpointError) as caught:
        load(tmp_path / "net.pth")
    assert str(caught.value).splitlines()[1:] == [
        "  missing from the file: last.bias",
        "  unknown to the model: more",
        "  of another shape: last.weight: 3x4x3x3 in the file, 3x4x1x1 in the model",
        "  found in the file: state_dict (9 tensors), epoch",
    ]
    assert "does not fit the model Net, nearest is 'state_dict'" in str(caught.value)
    torch.save({**WANTED, "last.weight": torch.ones(3, 4, 1, 1, dtype=torch.int8)}, tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match="of another type: last.weight: int8 in the file, float32 in the model"):
        load(tmp_path / "net.pth")
    torch.save(named("module.", {**WANTED, "last.bias": torch.tensor([1.0, float("nan"), 1.0])}), tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match=r"not finite \(NaN or infinity\): last\.bias"):
        load(tmp_path / "net.pth")
    torch.save(OPTIMIZER, tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match="it is the state of an optimizer"):
        load(tmp_path / "net.pth")


class Layers(nn.Module):
    def __init__(self, norm: Callable[[nn.Module], nn.Module], seed: int) -> None:
        torch.manual_seed(seed)
        super().__init__()
        self.conv = norm(nn.Conv2d(3, 5, 3, padding=1))
        self.up = norm(nn.ConvTranspose2d(5, 3, 2, stride=2))

    def forward(self, image: Tensor) -> Tensor:
        return self.up(self.conv(image))


def plain(layer: nn.Module) -> nn.Module:
    return layer


FORMS = {
    "plain": plain,
    "old": nn.utils.weight_norm,
    "new": parametrizations.weight_norm,
    "old, over all": lambda layer: nn.utils.weight_norm(layer, dim=None),  # type: ignore[arg-type]
    "old, inputs": lambda layer: nn.utils.weight_norm(layer, dim=1),
    "old spectral": nn.utils.spectral_norm,
    "new spectral": parametrizations.spectral_norm,
}


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")
@pytest.mark.parametrize(
    ("stored", "wanted"),
    [("old", "plain"), ("new", "plain"), ("old, over all", "plain"), ("old, inputs", "plain"), ("old", "new"), ("new", "old")]
    + [("old", "old"), ("new", "new"), ("plain", "old"), ("plain", "new"), ("plain", "old, over all")]
    + [("old spectral", "plain"), ("new spectral", "plain"), ("new spectral", "old spectral"), ("old spectral", "new spectral")],
)
def test_weight_norm_and_spectral_norm_give_the_same_pictures(tmp_path: Path, stored: str, wanted: str) -> None:
    """Against PyTorch's own modules, whose weights were moved so that g is not |v|."""
    source, module = Layers(FORMS[stored], 1), Layers(FORMS[wanted], 2).eval()
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.mul_(torch.empty_like(parameter).uniform_(0.5, 2))
        source.eval()
        torch.save(source.state_dict(), tmp_path / "net.pth")
        load(tmp_path / "net.pth", module=module)
        image = torch.rand(1, 3, 6, 6)
        assert (module(image) - source(image)).abs().max() < 1e-6


class Stranger:
    """Its unpickling would be seen."""

    ran = False

    def __setstate__(self, state: object) -> None:
        type(self).ran = True


def archive(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def legacy(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def traced() -> bytes:
    return torch.jit.trace(nn.Conv2d(3, 3, 1), torch.rand(1, 3, 4, 4)).save_to_buffer()  # type: ignore[attr-defined]


def exported() -> bytes:
    buffer = io.BytesIO()
    torch.export.save(torch.export.export(nn.Conv2d(3, 3, 1), (torch.rand(1, 3, 4, 4),)), buffer)
    return buffer.getvalue()


def arrays() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, weight=np.ones(3))
    return buffer.getvalue()


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "TorchScript": (traced, r"it is a TorchScript archive .*torch\.jit\.load\(path\)\.state_dict\(\)"),
    "exported program": (exported, r"it is an exported program \(torch\.export\.save\)"),
    "NumPy": (arrays, r"a zip archive, but not of torch\.save \(it holds weight\.npy\)"),
    "module": (lambda: archive(Net()), r"whole pickled module \(test_model_checkpoint_files\.Net\).*model\.state_dict\(\), path\)"),
    "module, old format": (lambda: legacy({"model": Net()}), r"whole pickled module \(test_model_checkpoint_files\.Net\)"),
    "class": (lambda: archive({"model": WANTED, "cfg": Stranger()}), r"more than tensors \(test_model_checkpoint_files\.Stranger\)"),
    "class, old format": (lambda: legacy({"cfg": Stranger()}), r"more than tensors \(test_model_checkpoint_files\.Stranger\)"),
    "plain pickle": (lambda: pickle.dumps({"cfg": Stranger()}), r"more than tensors \(test_model_checkpoint_files\.Stranger\)"),
    "list": (lambda: archive([torch.ones(2)]), "found a list"),
    "no tensors": (lambda: archive({"epoch": 3}), r"(?s)no named tensors in it.*found in the file: epoch"),
    "empty": (lambda: b"", r"truncated \(0 bytes\): it is empty"),
    "web page": (lambda: b"<!DOCTYPE html><html></html>", "it is a web page, so the download went wrong"),
    "Git LFS": (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 4\n", "git lfs pull"),
    "gzip": (lambda: gzip.compress(b"x"), "gzip archive; unpack it"),
    "index": (
        lambda: b'{"metadata": {}, "weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}}',
        r"index of weights in 2 files \(model-1-of-2\.safetensors, …\); merge them",
    ),
    "JSON": (lambda: b'{"weights": [1, 2]}', "it is a JSON file"),
    "text": (lambda: b"these are my weights, I promise", "not a safetensors file and nothing that torch.save writes"),
}


@pytest.mark.parametrize("name", ["net.pth", "net.safetensors"])
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_checkpoint_has_its_sentence(tmp_path: Path, case: str, name: str) -> None:
    make, told = REFUSED[case]
    (tmp_path / name).write_bytes(make())
    with pytest.raises(CheckpointError, match=told):
        load(tmp_path / name)
    assert not Stranger.ran


def test_a_folder_and_nothing(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="it is a folder; name the file"):
        load(tmp_path)
    with pytest.raises(CheckpointError, match="no such file"):
        load(tmp_path / "gone.pth")


@pytest.mark.parametrize("write", [torch.save, save_legacy, save_file])
def test_cut_anywhere_it_is_a_sentence(tmp_path: Path, write: Write) -> None:
    write(dict(WANTED), tmp_path / "whole")
    content = (tmp_path / "whole").read_bytes()
    for share in (0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.999):
        (tmp_path / "cut.pth").write_bytes(content[: max(1, int(share * len(content)))])
        with pytest.raises(CheckpointError, match=r"cut\.pth: (the file is truncated|not a safetensors file)"):
            load(tmp_path / "cut.pth")


def test_a_flipped_byte_is_found(tmp_path: Path) -> None:
    """PyTorch does not look at the archive's checksums."""
    torch.save(WANTED, tmp_path / "net.pth")
    content = bytearray((tmp_path / "net.pth").read_bytes())
    content[content.index(WANTED["last.weight"].numpy().tobytes())] ^= 1
    (tmp_path / "net.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"the file is damaged \(wrong checksum of .*data/\d+\)"):
        load(tmp_path / "net.pth")


def test_a_misfit_leaves_the_model_alone(tmp_path: Path) -> None:
    module = Net()
    before = copy.deepcopy(module.state_dict())
    torch.save({**WANTED, "more": torch.ones(1)}, tmp_path / "net.pth")
    with pytest.raises(CheckpointError):
        load(tmp_path / "net.pth", module=module)
    assert same(module.state_dict(), before)


class Noted(Net):
    """A module with a value in its state that is no tensor."""

    def get_extra_state(self) -> dict[str, int]:
        return {"version": 3}

    def set_extra_state(self, state: dict[str, int]) -> None:
        raise AssertionError("not to be loaded from a file of tensors")


def test_a_state_that_is_no_tensor_stays_as_it_is(tmp_path: Path) -> None:
    torch.save(WANTED, tmp_path / "net.pth")
    state, _ = load(tmp_path / "net.pth", module=Noted())
    assert state.pop("_extra_state") == {"version": 3} and same(state)
