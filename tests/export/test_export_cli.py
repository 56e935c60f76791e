"""The small commands, and what the command line must not do."""

import json
import subprocess
import sys
from pathlib import Path

import torch
from typer.testing import CliRunner

from instantstyle.cli.doctor import as_text, examine
from instantstyle.cli.main import app
from instantstyle.cli.summary import summarise
from instantstyle.export.cache.store import Store, Workspace
from instantstyle.model.checkpoint import save_checkpoint
from instantstyle.model.network import InstantStyle


def test_help_does_not_import_torch() -> None:
    script = "import atexit, sys; from instantstyle.cli.main import app; atexit.register(lambda: print('torch' in sys.modules)); "
    script += "app(['--help'])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
    for command in ("release", "validate", "doctor", "calibration", "model", "cache"):
        assert f" {command} " in done.stdout


def test_a_release_of_nothing_says_one_sentence() -> None:
    """What quantises is imported where it is used: it takes seconds, and prints."""
    script = "import sys; sys.argv = ['instantstyle', 'release', 'none.toml']; from instantstyle.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("instantstyle: ") and line.endswith("none.toml: no such recipe")


def test_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout.split()[0]) == (0, "instantstyle")


def test_doctor_lists_targets_and_libraries() -> None:
    content = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)
    assert content["libraries"]["torch"] == torch.__version__
    assert {"android", "onnx"} <= {target["name"] for target in content["targets"]}
    assert content["memory_total_bytes"] > 2**28
    assert content["cores"] >= 1
    text = as_text(examine())
    assert "onnx  " in text
    assert "GiB disk" in text


def test_summary_counts_what_the_network_has(tmp_path: Path) -> None:
    network = InstantStyle()
    rows = {row.name: row for row in summarise()}
    assert rows["total"].parameters == sum(parameter.numel() for parameter in network.parameters())
    assert rows["total"].parameters == sum(row.parameters for name, row in rows.items() if name != "total")
    # By hand: the decoder's last convolution alone is 9 * 48 * 12 multiplications at each of 256x256 places.
    assert rows["stylizer.decoder"].macs > 9 * 48 * 12 * 256 * 256
    # The content encoder is all convolutions: its work is that of each one's weights times its places.
    places = {1: 256 * 256, 2: 128 * 128, 3: 64 * 64}
    encoder = network.stylizer.content_encoder
    by_hand = encoder.conv1.weight.numel() * places[1]
    for name, module in encoder.named_modules():
        if isinstance(module, torch.nn.Conv2d) and name != "conv1":
            late = name.startswith("layer2") and name != "layer2.0.conv1"
            by_hand += module.weight.numel() * places[3 if late else 2]
    assert rows["stylizer.content_encoder"].macs == by_hand
    save_checkpoint(network, tmp_path / "net.safetensors", half=True)
    assert {row.name: row for row in summarise(tmp_path / "net.safetensors")} == rows
    table = CliRunner().invoke(app, ["model", "summary"]).stdout
    assert f"{rows['total'].parameters:,}" in table


def test_cache_clear_says_how_much(tmp_path: Path) -> None:
    def make(workspace: Workspace) -> None:
        (workspace.output / "x").write_bytes(bytes(5000))

    Store(tmp_path / "cache").build("emit", "a" * 64, make)
    result = CliRunner().invoke(app, ["cache", "clear", "--cache", str(tmp_path / "cache")])
    freed = int(result.stdout.rsplit(":", 1)[1].split()[0].replace(",", ""))
    assert 5000 < freed < 6000
