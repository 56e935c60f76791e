"""The bench of networks: what counts as no worse than a peer, and that a peer's own file is what runs."""

import math
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from network_contestants import peer_files
from network_peers import LITERT, ORT, PEERS, FloatGraph, Peer, export_onnx, ort_static
from network_runs import open_onnx
from network_styles import AnyStyle
from network_table import BASELINE, Interval, Result, Row, standings, summary, table
from network_training import NETWORKS, Photos, trained
from torch import nn

from instantstyle.model.graph import Graph, single_graph
from instantstyle.system.errors import InstantStyleError

SIZE = (32, 32)
FASTER, EVEN, SLOWER = (1.2, 1.1, 1.3), (1.0, 0.9, 1.1), (0.8, 0.7, 0.9)


def row(name: str, *, worst: float, size: int = 100, against: dict[str, Interval] | None = None, runtime: str = ORT) -> Row:
    return Row(name, runtime, against is not None, size, 5, 5, worst, worst, (0.5, 0.4, 0.6), against or {})


def result(*rows: Row) -> Result:
    return Result("net", "a net", 1000, rows, {"NNCF on ONNX": "graph 'model': ValueError: no such operator"})


@pytest.mark.parametrize(
    ("worst", "size", "time", "marks"),
    [
        (0.97, 99, FASTER, ("better", "better", "better")),
        (0.96, 100, EVEN, ("equal", "equal", "equal")),
        (0.96004, 100, EVEN, ("equal", "equal", "equal")),
        (0.9599, 101, SLOWER, ("worse", "worse", "worse")),
        (math.nan, 99, FASTER, ("worse", "better", "better")),
    ],
)
def test_ours_is_held_against_the_peer_of_the_best_worst_picture(
    worst: float, size: int, time: Interval, marks: tuple[str, str, str]
) -> None:
    peers = row("small and poor", worst=0.5, size=1), row("best", worst=0.96), row("elsewhere", worst=0.99, runtime=LITERT)
    own = row("ours", worst=worst, size=size, against={"best": time, "small and poor": SLOWER})
    (standing,) = standings(result(own, *peers))
    assert standing.peer.name == "best" and standing.marks == marks
    assert standing.no_worse == ("worse" not in marks)
    assert standing.better == (set(marks) == {"better"})


def test_the_float_baseline_takes_no_side() -> None:
    assert not list(standings(result(row(BASELINE, worst=1.0, against={"best": SLOWER}), row("best", worst=0.9))))


def test_what_was_not_timed_is_not_called_no_worse() -> None:
    own = replace(row("ours", worst=0.99, size=1, against={}), ours=True)
    (standing,) = standings(result(own, row("best", worst=0.9)))
    assert standing.marks == ("better", "better", "not measured")
    assert not standing.no_worse and not standing.better


def test_a_network_counts_only_if_every_runtime_keeps_up_and_one_of_two_files_is_enough() -> None:
    better = {"best": FASTER}
    rows = (
        row("ours", worst=0.97, size=101, against=better),
        row("ours smaller", worst=0.97, size=99, against=better),
        row("best", worst=0.96),
    )
    assert "Better in all three, in every runtime: 1 of 1 (net)" in summary([result(*rows)])[0]
    elsewhere = row("ours", worst=0.97, against={"other": SLOWER}, runtime=LITERT), row("other", worst=0.96, runtime=LITERT)
    lines = summary([result(*rows, *elsewhere)])
    assert "in every runtime: 0 of 1. Better in all three, in every runtime: 0 of 1" in lines[0]
    assert "- LiteRT: no worse on 0, better in all three on 0, of 1 networks" in lines
    assert [line.split("|")[8].strip() for line in lines if line.startswith("| net ")] == ["WORSE", "better in all three", "WORSE"]


def test_what_refused_a_network_stands_below_its_table() -> None:
    assert table(result(row("best", worst=0.9)))[-1] == "NNCF on ONNX took no part: graph 'model': ValueError: no such operator\n"


class Small(nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.last(torch.relu(self.first(image))))


def float_graph(folder: Path, seed: int) -> FloatGraph:
    graph: Graph = single_graph(Small(seed).eval()).graphs[0]
    random = np.random.default_rng(0)
    samples = [{"image": random.uniform(-1, 1, (1, 3, *SIZE)).astype(np.float32)} for _ in range(3)]
    path = folder / f"{seed}.onnx"
    export_onnx(graph, SIZE, path)
    return FloatGraph(graph, path, None, samples)


def run(folder: Path, given: FloatGraph, peer: Peer) -> tuple[np.ndarray, int]:
    made = peer_files(peer, [given], folder, "model")
    assert not isinstance(made, str), made
    with ExitStack() as stack:
        graphs, int8, convolutions = made.open(stack, 1)
        assert convolutions == 2
        return graphs["model"](given.calibration[0])["output"], int8


def test_a_peers_own_file_runs_in_integers(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    given = float_graph(tmp_path, 1)
    output, int8 = run(tmp_path / "one", given, PEERS[0])
    with torch.inference_mode():
        reference = given.graph.module(torch.from_numpy(given.calibration[0]["image"])).numpy()
    exported = open_onnx(given.onnx, given.graph, 1).run(given.calibration[0])["output"]
    assert np.abs(exported - reference).max() < 1e-5
    error = np.abs(output - reference).max()
    assert int8 == 2 and 1e-3 < error < 0.1
    # It is made once, and what lies in the folder is what runs.
    other = float_graph(tmp_path, 2)
    (file,) = (tmp_path / "one").rglob("model.onnx")
    assert np.array_equal(run(tmp_path / "one", other, PEERS[0])[0], output)
    ort_static(other, file.parent)
    assert np.abs(run(tmp_path / "one", given, PEERS[0])[0] - output).max() > 10 * error


def test_a_peer_that_refuses_is_quoted_and_not_asked_again(tmp_path: Path) -> None:
    asked = []

    def refuse(given: FloatGraph, folder: Path) -> Path:
        asked.append(given.graph.name)
        (folder / "half.onnx").touch()
        raise ValueError("no such\n operator")

    given = float_graph(tmp_path, 1)
    peer = Peer("stubborn", ORT, ("numpy",), refuse)
    sentences = {peer_files(peer, [given], tmp_path, "model") for _ in range(2)}
    assert sentences == {"graph 'model': ValueError: no such operator"} and asked == ["model"]
    with pytest.raises(InstantStyleError, match="no-such-quantizer is not installed; make bench-networks makes an environment"):
        peer_files(replace(peer, packages=("no-such-quantizer",)), [given], tmp_path, "model")


def test_there_are_eight_networks_of_different_kinds() -> None:
    assert len({network.make for network in NETWORKS}) == len({network.pairs for network in NETWORKS}) == len(NETWORKS) == 8
    for network in NETWORKS:
        module = network.make().eval()
        assert 40_000 < sum(parameter.numel() for parameter in module.parameters()) < 1_000_000
        styles = (torch.zeros(1, 3, 128, 128),) if isinstance(module, AnyStyle) else ()
        with torch.inference_mode():
            output = module(torch.rand(1, 3, *SIZE) * 2 - 1, *styles)
        assert output.shape[:2] == (1, 3) and output.shape[2] % SIZE[0] == 0
        assert output.min() >= -1 and output.max() <= 1


def test_a_network_is_trained_once_and_the_same_every_time(tmp_path: Path) -> None:
    network = next(network for network in NETWORKS if network.name == "gated")
    weights = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        photos = Photos(folder)
        photos.__dict__["photos"] = torch.rand(2, 3, 80, 80, generator=torch.Generator().manual_seed(0)) * 2 - 1
        weights.append(trained(network, photos, steps=3).state_dict())
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    assert not torch.equal(weights[0]["first.weight"], network.make().state_dict()["first.weight"])
    (kept,) = (tmp_path / "a").iterdir()
    before = kept.stat().st_mtime_ns
    trained(network, Photos(tmp_path / "a"), steps=3)
    assert kept.stat().st_mtime_ns == before
