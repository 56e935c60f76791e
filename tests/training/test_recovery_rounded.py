"""Recovery with rounded numbers: graphs get better in int8, take their weights back exactly, and ranges travel with the checkpoint."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from instantstyle.calibration.imageset import ImageSet
from instantstyle.compression.distillation.draws import SampleDraws
from instantstyle.compression.distillation.rounded import recover_rounded
from instantstyle.compression.pruning.checkpoint import RANGES, read_learnt, write_pruned
from instantstyle.compression.quantization.capture import capture
from instantstyle.compression.quantization.plan.plan import NO_PLAN, Plan
from instantstyle.compression.quantization.ranges import calibrate
from instantstyle.model.checkpoint import save_tensors
from instantstyle.model.graph import Model, single_graph
from instantstyle.recipe.settings import QuantizeSettings, RecoverSettings, RoundedSettings
from instantstyle.system.errors import CheckpointError
from instantstyle.system.progress import ReportProgress

SIZE = (32, 32)
QUANTIZE = QuantizeSettings(method="ptq", observer="min_max")
SETTINGS = RecoverSettings(rounded=RoundedSettings(steps=80, learning_rate=1e-3), batch=2, crop=32)


class Net(nn.Module):
    """Batch norms behind convolutions with and without biases; one without a gain; one that nothing folds."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm1 = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.second, self.norm2 = nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.third, self.norm3 = nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16, affine=False)
        self.last, self.alone = nn.Conv2d(16, 3, 3, padding=1), nn.BatchNorm2d(16)

    def forward(self, image: Tensor) -> Tensor:
        features = torch.relu(self.norm1(self.first(image)))
        features = torch.relu(self.norm2(self.second(features))) + features
        return torch.tanh(self.last(torch.relu(self.alone(torch.relu(self.norm3(self.third(features)))))))


def made(seed: int) -> Model:
    torch.manual_seed(seed)
    net = Net()
    with torch.no_grad():
        for norm in (net.norm1, net.norm2, net.norm3, net.alone):
            norm.running_mean.uniform_(-0.5, 0.5)  # type: ignore[union-attr]
            norm.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    return single_graph(net.eval())


@pytest.fixture
def draws(tmp_path: Path) -> SampleDraws:
    random = np.random.default_rng(0)
    for index in range(4):
        Image.fromarray(random.integers(0, 256, (9, 8, 3), np.uint8)).resize((80, 90)).save(tmp_path / f"{index}.png")
    return SampleDraws(made(0), SIZE, [ImageSet.from_patterns(["*.png"], tmp_path)], 3)


def student_of(whole: Model) -> Model:
    """Somewhat off, with weights of its own."""
    model = made(0)
    with torch.no_grad():
        for parameter in model.graphs[0].module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def int8_error(model: Model, whole: Model, draws: SampleDraws, plan: Plan = NO_PLAN) -> float:
    samples = [draws.draw(9, index) for index in range(6)]
    table = calibrate(
        model, samples, total=6, size=SIZE, tuned={}, settings=QUANTIZE, image_set_sha256="", report=lambda *_: None, plan=plan
    )
    program = capture(model, SIZE, table=table, tuned={}, settings=QUANTIZE, samples=samples[:1], plan=plan).graphs[0].int8_program
    assert program is not None
    images = [torch.from_numpy(draws.draw(10, index).inputs["image"]) for index in range(6)]
    with torch.no_grad():
        errors = [(program.module()(image) - whole.graphs[0].module(image)).abs().mean() for image in images]
    return float(torch.stack(errors).mean())


def learn(model: Model, whole: Model, draws: SampleDraws, state: Path, report: ReportProgress = lambda *_: None) -> dict:
    return recover_rounded(model, whole, draws=draws, settings=SETTINGS, quantize=QUANTIZE, state_file=state, report=report)


def test_the_int8_program_comes_closer_and_a_kill_changes_nothing(draws: SampleDraws, tmp_path: Path) -> None:
    whole = made(0)
    model = student_of(whole)
    before = int8_error(model, whole, draws)
    learnt = learn(model, whole, draws, tmp_path / "a.pt")
    assert int8_error(model, whole, draws, Plan(learnt=learnt)) < 0.7 * before

    def kill(done: int, total: int, note: str) -> None:
        assert total == 80
        if done == 45:
            raise KeyboardInterrupt

    again = student_of(whole)
    with pytest.raises(KeyboardInterrupt):
        learn(again, whole, draws, tmp_path / "b.pt", kill)
    assert learn(again, whole, draws, tmp_path / "b.pt") == learnt
    assert all(torch.equal(value, again.graphs[0].module.state_dict()[name]) for name, value in model.graphs[0].module.state_dict().items())


def test_folded_norms_add_a_bias_and_others_stay(draws: SampleDraws, tmp_path: Path) -> None:
    model = student_of(made(0))
    net: Net = model.graphs[0].module  # type: ignore[assignment]
    alone = {name: value.clone() for name, value in net.alone.state_dict().items() if name.startswith("running")}
    learn(model, made(0), draws, tmp_path / "a.pt")
    features = torch.randn(1, 16, 5, 5)
    with torch.no_grad():
        for norm in (net.norm1, net.norm2, net.norm3):
            moved = norm(features) - features
            assert torch.allclose(moved, moved.mean((2, 3), keepdim=True).expand_as(moved), atol=1e-5)
        assert net.norm2(features).sub(features).abs().max() < 1e-5  # the convolution has a bias of its own
        assert net.norm1(features).sub(features).abs().max() > 1e-2
    assert all(torch.equal(value, net.alone.state_dict()[name]) for name, value in alone.items())


def test_ranges_travel_in_the_checkpoint_and_wrong_ones_are_refused(tmp_path: Path) -> None:
    path, learnt = tmp_path / "small.safetensors", {"model": {"relu": 1.5, "conv": 0.25}}
    write_pruned(made(0), (), path=path, bare=True, metadata={"license": "x"}, learnt=learnt)
    assert read_learnt(path) == learnt
    write_pruned(made(0), (), path=path, bare=True, metadata={})
    assert read_learnt(path) == {}
    cases = {'{"model": {"relu": -1}}': "ranges.model.relu: ", "[1]": "learnt_ranges: ", '{"model": {"relu": NaN}}': "ranges.model.relu: "}
    for text, told in cases.items():
        save_tensors(made(0).graphs[0].module.state_dict(), path, {RANGES: text})
        with pytest.raises(CheckpointError, match=rf"its metadata has ranges that cannot be used: .*{told}"):
            read_learnt(path)


def test_a_whole_graph_is_left_alone(draws: SampleDraws, tmp_path: Path) -> None:
    whole = made(0)
    assert learn(replace(whole), whole, draws, tmp_path / "a.pt") == {}
