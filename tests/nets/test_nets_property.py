"""Other people's networks: each of many generated ones is refused with a true reason, or all that is made of it computes what it computes.

A failure prints the net as text and the smallest one that fails alike; ``build(parse(text))`` makes it again.
"""

import sys
from pathlib import Path

import pytest
import torch
from net_generator import generate
from net_kinds import KINDS
from net_property import APPLE, EDGE, FORMS, Form, Outcome, check
from net_refusals import is_true
from net_shrink import shrink
from net_spec import build, parse, pictures

from instantstyle.cli.main import main
from instantstyle.recipe.precision import Precision
from instantstyle.system.host import int8_saturates
from instantstyle.targets.registry import get_target

FAST, MANY = 30, 300


def forms_of(number: int) -> tuple[Form, ...]:
    """What is made of a net: one of the three portable forms in turn; of those beyond the fast ones all, and of every tenth Core ML's or,
    where their packages are, OpenVINO's and LiteRT's."""
    if number < FAST:
        return FORMS[number % 3 :][:1]
    return FORMS + (APPLE if number % 10 == 5 else tuple(filter(_is_exact_here, EDGE)) if number % 10 == 8 else ())


def _is_exact_here(form: Form) -> bool:
    saturates = form == Form("openvino", Precision.INT8) and int8_saturates()
    return get_target(form.target).availability().can_run and not saturates


def check_number(number: int) -> None:
    net, forms = generate(number), forms_of(number)
    failed = [outcome for outcome in check(net, forms) if outcome.kind != "equal" and not is_true(outcome, net)]
    if failed:
        small, found = shrink(net, failed[0], forms)
        told = "\n  ".join(map(str, failed))
        pytest.fail(f"net {number}: {net}\n  {told}\nsmallest: {small}\n  {found}", pytrace=False)


@pytest.mark.parametrize("number", range(FAST))
def test_a_net_is_refused_with_a_reason_or_comes_out_right(number: int) -> None:
    check_number(number)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(FAST, FAST + MANY))
def test_many_nets_are_refused_with_a_reason_or_come_out_right(number: int) -> None:
    check_number(number)


def kinds_of(numbers: range) -> frozenset[str]:
    return frozenset[str]().union(*(generate(number).kinds for number in numbers))


def test_the_fast_nets_have_every_family_and_the_slow_ones_every_kind() -> None:
    assert {kind.partition(".")[0] for kind in KINDS} <= {kind.partition(".")[0] for kind in kinds_of(range(FAST))}
    assert set(KINDS) <= kinds_of(range(FAST, FAST + MANY))


def test_a_nets_text_builds_it_again() -> None:
    for number in range(3):
        net = generate(number)
        image = pictures(1, net.size, torch.Generator().manual_seed(0))
        with torch.no_grad():
            assert torch.equal(build(net)(image.clone()), build(parse(str(net)))(image.clone()))


def test_a_failure_is_shrunk_to_the_kind_that_causes_it() -> None:
    net = parse("32x48 w8 x2 bgr | act.relu#1 | wrap.sum#2(mix.nothing#3, wrap.residual#4(norm.group#5)) | act.tanh#6 | shuffle clamp")

    def found(candidate, forms):
        return [Outcome("load", "wrong", "")] if "norm.group" in candidate.kinds else []

    assert str(shrink(net, Outcome("load", "wrong"), tried=found)[0]) == "32x32 w8 x1 conv | norm.group#5 | nearest tanh"


RECIPE = """\
name = "generated"
model = {{ factory = "net.py:make", sizes = [[{height}, {width}]] }}
images = {{ calibration = {{ photos = "calibration" }}, validation = {{ photos = "validation" }} }}
quantize = {{ method = "ptq", observer = "min_max", minimum_images = 2 }}
targets = {{ build = {{ onnx = ["float32", "int8"], android = ["int8"] }}, required = ["onnx", "android"] }}
latency = {{ threads = 1, warmup = 0, runs = 5 }}
"""
FACTORY = """\
import sys
sys.path.append({folder!r})
from net_generator import generate
from net_spec import build

def make():
    return build(generate({number}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1000, 1006))
def test_the_command_line_ends_with_a_verdict_or_a_sentence(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    net = generate(number)
    (tmp_path / "net.py").write_text(FACTORY.format(folder=str(Path(__file__).parent), number=number))
    (tmp_path / "recipe.toml").write_text(RECIPE.format(height=net.size[0], width=net.size[1]))
    for name, seed in (("calibration", 3), ("validation", 4)):
        (tmp_path / name).mkdir()
        for index, image in enumerate(pictures(3, net.size, torch.Generator().manual_seed(seed))):
            values = ((image + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
            Image.fromarray(values).save(tmp_path / name / f"{index}.png")
    monkeypatch.setattr(sys, "argv", ["instantstyle", "release", "recipe.toml", "--out", "dist", "--cache", "cache"])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code in (0, 1, 2), str(net)
    assert "Traceback" not in "".join(capsys.readouterr())
