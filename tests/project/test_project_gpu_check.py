"""`make gpu-check` without a GPU: what it says, what it writes of made-up measurements, and what it never claims."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import gpu_check
import gpu_survey
import pytest
from gpu_check import check, measure_apart, run, slug, without_paths, write
from gpu_recipe import derive, derived
from gpu_result import CHECK, WHOLE, Check, GraphTimes, Part, Time, Verdict
from gpu_survey import NO_CUDA, NO_GPU, Survey, survey
from gpu_table import as_markdown, gpu_row, numbers

from instantstyle.export.source.checked_recipe import load_recipe
from instantstyle.metrics.statistics import Estimate
from instantstyle.system.errors import CaptureError, RecipeError
from instantstyle.targets.tensorrt.bindings import TENSORRT, TENSORRT_RTX, Gpu, Probe
from instantstyle.validation.results.timing import Timing

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "server.toml"
A100, H100 = Gpu("NVIDIA A100-SXM4-40GB", 80), Gpu("NVIDIA H100 80GB HBM3", 90)
INT8, FLOAT16 = "tensorrt_rtx-int8-512x512", "tensorrt_rtx-float16-512x512"


def time(name: str, p50_ms: float, over: float = 10.0, whole: float = 20.0, method: str = "CUDA events") -> Time:
    def around(value: float) -> Estimate:
        return Estimate(value, value - 1, value + 1)

    return Time(name, method, Timing(name, 300, p50_ms, p50_ms - 0.1, p50_ms + 0.1, p50_ms + 0.2), around(over), around(whole))


PYTORCH = (time("PyTorch float32", 60.0, 1.0, 2.0), time(WHOLE, 120.0, 0.5, 1.0))
ENGINES = tuple(
    entry
    for name, p50_ms in ((INT8, 1.9), (FLOAT16, 2.5))
    for entry in (
        time(f"{name}, device buffers", p50_ms + 0.5, 50 / p50_ms, 100 / p50_ms),
        time(f"{name}, CUDA graph", p50_ms, 60 / p50_ms, 120 / p50_ms),
        time(f"{name}, host to host", p50_ms + 7, 6.0, 12.0, "wall clock"),
    )
)
FAILURES = {"torch.compile float16": "ImportError: no module named triton"}
PASSED = Verdict(INT8, "passed", True, (), 0.9654, 0.9162, "a x b", 3_000_000, 67, 67)
OTHER = replace(PASSED, name=FLOAT16, ships=False, int8_convolutions=0)


def latency(*times: Time) -> tuple[GraphTimes, ...]:
    return (GraphTimes("stylizer", True, (512, 512), (*times, *PYTORCH), FAILURES),)


RTX = Part("tensorrt_rtx", "TensorRT for RTX 1.7.1", (PASSED, OTHER), (), latency(*ENGINES))
REFUSED = Part("tensorrt", "TensorRT 11.0", gate=("tensorrt: built no engine",), said="tensorrt: built no engine")
WITHOUT = Part("", "", latency=latency())


def made_up(gpu: Gpu = A100, *parts: Part) -> Check:
    schedule = {"warmup": 1, "rounds": 2, "untimed": 1, "passes": 2}
    return Check(gpu, "2026-11-25", "580.1", "13.0", "Linux x86_64", {"torch": "2.13.0"}, (), schedule, "e" * 64, "c" * 64, parts)


@pytest.mark.skipif(gpu_survey.survey().gpu is not None, reason="there is a GPU here")
def test_without_a_gpu_it_says_so_in_one_line_and_writes_nothing(tmp_path: Path) -> None:
    script = ROOT / "benchmarks" / "gpu_check.py"
    done = subprocess.run(
        [sys.executable, str(script), "--results", str(tmp_path / "results")], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 2 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("gpu-check: no NVIDIA GPU") and line.endswith("; nothing was measured")
    assert list(tmp_path.iterdir()) == []


Machine = Callable[..., None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Puts a machine together: what is installed, what each product's probe says, and PyTorch."""

    def make(probes: dict[str, Probe], cuda: bool = True, gpu: Gpu | None = None, built_for_cuda: str | None = "13.0") -> None:
        monkeypatch.setattr(gpu_survey, "missing_packages", lambda modules: tuple(name for name in modules if name not in probes))
        monkeypatch.setattr(gpu_survey, "probe", lambda product: probes[product.module])
        monkeypatch.setattr(gpu_survey.torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(gpu_survey.torch.version, "cuda", built_for_cuda)
        monkeypatch.setattr(gpu_survey, "gpu_of_torch", lambda: gpu if cuda else None)

    return make


LISTED = (75, 80, 86, 89, 120)


def test_both_products_are_usable_where_both_build(machine: Machine) -> None:
    machine({"tensorrt": Probe("11.0", A100, ()), "tensorrt_rtx": Probe("1.7.1", A100, LISTED)})
    assert survey() == Survey(A100, (TENSORRT_RTX, TENSORRT), ())


def test_what_is_not_installed_is_named_with_the_command(machine: Machine) -> None:
    machine({}, gpu=A100)
    found = survey()
    assert found.gpu == A100 and found.usable == () and not found.obstacle
    assert found.missing == (
        'TensorRT for RTX is not installed: pip install "tensorrt-rtx>=1.7.1.116"',
        'TensorRT is not installed: pip install "tensorrt>=10.0"',
    )


def test_a_gpu_that_rtx_does_not_build_for(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine({"tensorrt_rtx": Probe("1.7.1", H100, LISTED)}, gpu=H100)

    def refuse(*_: object, **__: object) -> None:
        raise CaptureError("Target GPU SM 90 is not supported by this TensorRT release")

    monkeypatch.setattr(gpu_survey, "build_engine", refuse)
    found = survey()
    assert found.usable == () and not found.obstacle
    assert "does not build for compute capability 90 (NVIDIA H100 80GB HBM3), only for 75, 80, 86, 89, 120" in found.missing[0]
    assert "it says 'CaptureError: Target GPU SM 90 is not supported by this TensorRT release'" in found.missing[0]


def test_bindings_that_cannot_be_loaded(machine: Machine) -> None:
    machine({"tensorrt": Probe("", None, (), "TensorRT crashed with SIGSEGV"), "tensorrt_rtx": Probe("1.7.1", A100, LISTED)})
    found = survey()
    assert found.usable == (TENSORRT_RTX,) and found.missing == ("TensorRT cannot be loaded: TensorRT crashed with SIGSEGV",)


@pytest.mark.parametrize(
    ("probes", "built_for_cuda", "obstacle"),
    [
        ({"tensorrt_rtx": Probe("1.7.1", None, LISTED)}, None, NO_GPU),
        ({}, "13.0", NO_GPU),
        ({}, None, NO_CUDA),
        ({"tensorrt_rtx": Probe("1.7.1", A100, LISTED)}, None, f"NVIDIA A100-SXM4-40GB is here, but {NO_CUDA}"),
    ],
)
def test_why_nothing_can_be_measured(machine: Machine, probes: dict[str, Probe], built_for_cuda: str | None, obstacle: str) -> None:
    machine(probes, cuda=False, built_for_cuda=built_for_cuda)
    assert survey().obstacle == obstacle


@pytest.mark.parametrize("product", [TENSORRT, TENSORRT_RTX])
def test_derived_recipe_asks_for_this_gpu_and_for_passed(product) -> None:
    original = load_recipe(RECIPE)
    with derived(RECIPE, product, 80) as path:
        assert path.parent == RECIPE.parent
        recipe = load_recipe(path)
    assert not path.exists()
    assert recipe.targets.build == {product.target: original.targets.build["tensorrt_rtx"]}
    assert recipe.targets.required == (product.target,) and recipe.targets.sufficing("graph_parity", (product.target,)) == ()
    options = recipe.targets.options[product.target]
    assert options.get("capabilities") == ([80] if product is TENSORRT_RTX else None) and options["precision"] == "fastest"
    same = ("model", "images", "prune", "quantize", "limits", "latency")
    assert {name: getattr(recipe, name) for name in same} == {name: getattr(original, name) for name in same}


def test_derived_recipe_keeps_the_limits_of_the_target_alone() -> None:
    text = (
        '[targets]\nrequired = ["x"]\n[targets.build]\ntensorrt_rtx = ["int8"]\nandroid = ["int8"]\n'
        "[limits]\nmax_bytes = 9\n[limits.android]\nmax_bytes = 8\n[limits.tensorrt_rtx-int8]\nmax_bytes = 7\n"
    )
    found = derive(text, TENSORRT, 80)
    assert "[limits.tensorrt-int8]\nmax_bytes = 7" in found and "max_bytes = 9" in found and "max_bytes = 8" not in found
    with pytest.raises(RecipeError, match="targets.build has neither tensorrt_rtx nor tensorrt"):
        derive('[targets]\n[targets.build]\nandroid = ["int8"]\n', TENSORRT, 80)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Callable[[Survey, dict[str, Part]], list[str]]:
    """Puts parts in the place of measuring; returns the list of what was measured, in order."""

    def fake(found: Survey, parts: dict[str, Part]) -> list[str]:
        asked: list[str] = []

        def apart(product, gpu: Gpu, recipe: Path) -> Part:
            asked.append(product.target if product else "")
            return parts[asked[-1]]

        monkeypatch.setattr(gpu_check, "survey", lambda: found)
        monkeypatch.setattr(gpu_check, "measure_apart", apart)
        monkeypatch.setattr(gpu_check, "driver_version", lambda: "580.1")
        return asked

    return fake


def test_a_pass_is_exit_code_0_and_two_files(tmp_path: Path, measured, capsys: pytest.CaptureFixture[str]) -> None:
    asked = measured(Survey(A100, (TENSORRT_RTX,), ("TensorRT is not installed",)), {"tensorrt_rtx": RTX})
    assert run(RECIPE, tmp_path) == 0
    assert asked == ["tensorrt_rtx"]
    assert {path.name for path in tmp_path.iterdir()} == {"tensorrt-nvidia-a100-sxm4-40gb.json", "tensorrt-nvidia-a100-sxm4-40gb.md"}
    printed = capsys.readouterr().out
    assert "gpu-check: NVIDIA A100-SXM4-40GB; missing: TensorRT is not installed\n" in printed
    assert f"| {INT8}, TensorRT for RTX 1.7.1 | 1.90 ms | 31.6x (30.6 to 32.6) |" in printed
    content = json.loads((tmp_path / "tensorrt-nvidia-a100-sxm4-40gb.json").read_text())
    assert content["gpu"] == {"name": A100.name, "capability": 80} and content["driver"] == "580.1" and content["versions"]["torch"]
    assert len(content["recipe_sha256"]) == len(content["checkpoint_sha256"]) == 64
    assert content["missing"] == ["TensorRT is not installed"]
    (part,) = content["parts"]
    assert part["verdicts"][0]["ssim_mean"] == 0.9654 and part["latency"][0]["failures"] == FAILURES
    assert part["latency"][0]["times"][1]["timing"]["p50_low_ms"] == pytest.approx(1.8)
    assert CHECK.validate_python(content).parts == (RTX,)


def test_a_gate_that_is_not_passed_is_exit_code_1(tmp_path: Path, measured, capsys: pytest.CaptureFixture[str]) -> None:
    failed = replace(PASSED, status="failed", problems=("SSIM mean 0.93",), ships=False)
    part = replace(RTX, verdicts=(failed,), gate=("SSIM mean 0.93",))
    measured(Survey(A100, (TENSORRT_RTX,), ()), {"tensorrt_rtx": part})
    assert run(RECIPE, tmp_path) == 1
    assert "gate: SSIM mean 0.93" in capsys.readouterr().out
    assert "aim reached" not in (tmp_path / "tensorrt-nvidia-a100-sxm4-40gb.md").read_text()


def test_one_product_that_fails_fails_the_check(tmp_path: Path, measured) -> None:
    asked = measured(Survey(A100, (TENSORRT_RTX, TENSORRT), ()), {"tensorrt_rtx": RTX, "tensorrt": REFUSED})
    assert run(RECIPE, tmp_path) == 1
    assert asked == ["tensorrt_rtx", "tensorrt"]
    assert "- TensorRT 11.0: tensorrt: built no engine" in (tmp_path / "tensorrt-nvidia-a100-sxm4-40gb.md").read_text()


@pytest.mark.parametrize(("usable", "asked"), [((), [""]), ((TENSORRT,), ["tensorrt", ""])])
def test_where_no_tensorrt_runs_nothing_is_called_so(usable, asked: list[str], tmp_path: Path, measured) -> None:
    missing = ("TensorRT for RTX 1.7.1 does not build for compute capability 90",)
    order = measured(Survey(H100, usable, missing), {"tensorrt": REFUSED, "": WITHOUT})
    assert run(RECIPE, tmp_path) == 1
    assert order == asked
    (markdown,) = tmp_path.glob("*.md")
    assert markdown.stem == "without-tensorrt-nvidia-h100-80gb-hbm3"
    text = markdown.read_text()
    assert text.startswith("# NVIDIA H100 80GB HBM3, on which no TensorRT ran\n")
    assert "claim" not in text and "| PyTorch float32 | 60.000 ms |" in text
    assert "- TensorRT for RTX 1.7.1 does not build for compute capability 90" in text


def test_nothing_measured_is_exit_code_2_and_no_file(tmp_path: Path, measured, capsys: pytest.CaptureFixture[str]) -> None:
    empty = Part("", "", latency=(GraphTimes("stylizer", True, (512, 512), (), {"PyTorch float32": "OutOfMemoryError"}),))
    measured(Survey(A100, (TENSORRT,), ()), {"tensorrt": REFUSED, "": empty})
    assert run(RECIPE, tmp_path / "results") == 2
    assert list(tmp_path.iterdir()) == []
    assert "nothing was measured: TensorRT 11.0: tensorrt: built no engine; " in capsys.readouterr().err


def test_claims_are_held_against_what_passed_alone() -> None:
    rows = {number.name: number.standing for number, _ in numbers(made_up(A100, RTX))}
    assert rows[f"{INT8}, stylizer, CUDA graph: median"] == "aim reached"
    assert rows[f"{INT8}, stylizer, CUDA graph: times over PyTorch float32"] == "aim reached"
    assert rows[f"{FLOAT16}, stylizer, device buffers: median"] == "within the limit"
    assert rows[f"{INT8}, stylizer, host to host: median"] == "LIMIT MISSED"
    failed = replace(RTX, verdicts=(replace(PASSED, problems=("too blurred",)), OTHER))
    assert not any(number.name.startswith(INT8) for number, _ in numbers(made_up(A100, failed)))


def test_a_graph_that_could_not_be_captured_is_not_measured() -> None:
    part = replace(RTX, latency=latency(*(entry for entry in ENGINES if entry.name != f"{INT8}, CUDA graph")))
    found = made_up(A100, part)
    rows = {number.name: number.standing for number, _ in numbers(found)}
    assert rows[f"{INT8}, stylizer, CUDA graph: median"] == "not measured"
    assert "| 2.40 ms |" in gpu_row(found)[2]
    assert "| CLAIM MISSED |" in as_markdown(found)


def test_only_an_executed_engine_counts_as_run() -> None:
    assert made_up(A100, RTX).passed
    silent = replace(RTX, latency=latency())
    assert not silent.ran and not made_up(A100, silent).passed and not made_up(A100, WITHOUT).passed


def test_markdown_rows_have_the_columns_of_their_header() -> None:
    for block in as_markdown(made_up(A100, RTX, REFUSED)).split("\n\n"):
        assert len({line.count("|") for line in block.splitlines() if line.startswith("|")}) <= 1
    assert "- torch.compile float16: not timed: ImportError: no module named triton" in as_markdown(made_up(A100, RTX))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGABRT)", "measuring ended with SIGABRT: it printed nothing"),
        ("import sys; sys.exit('terminate called')", "measuring ended with exit code 1: terminate called"),
    ],
)
def test_a_crash_while_measuring_is_a_sentence(body: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "measure.py"
    script.write_text(body)
    monkeypatch.setattr(gpu_check, "MEASURE", script)
    monkeypatch.setattr(gpu_check, "WORK", tmp_path)
    monkeypatch.setattr(gpu_check, "probe", lambda product: Probe("1.7.1", A100, LISTED))
    assert measure_apart(TENSORRT_RTX, A100, RECIPE) == Part("tensorrt_rtx", "TensorRT for RTX 1.7.1", gate=(said,), said=said)
    assert measure_apart(None, A100, RECIPE) == Part("", "PyTorch and ONNX Runtime", said=said)


def test_a_child_is_asked_for_one_product_and_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "measure.py"
    script.write_text(
        "import json, sys\nassert sys.argv[sys.argv.index('--product') + 1] == 'tensorrt_rtx'\n"
        "assert sys.argv[sys.argv.index('--capability') + 1] == '80'\n"
        "open(sys.argv[1], 'w').write(json.dumps({'target': 'tensorrt_rtx', 'title': 't', 'said': 's'}))\n"
    )
    monkeypatch.setattr(gpu_check, "MEASURE", script)
    monkeypatch.setattr(gpu_check, "WORK", tmp_path)
    monkeypatch.setattr(gpu_check, "probe", lambda product: Probe("1.7.1", A100, LISTED))
    assert measure_apart(TENSORRT_RTX, A100, RECIPE) == Part("tensorrt_rtx", "t", said="s")


def test_results_have_no_paths_of_this_machine(tmp_path: Path) -> None:
    said = f"{ROOT}/build/x.engine: too big; {Path.home()}/cache"
    path = write(made_up(A100, RTX, replace(REFUSED, said=said)), tmp_path)
    for file in (path, path.with_suffix(".json")):
        assert str(ROOT) not in file.read_text() and "./build/x.engine: too big; ~/cache" in file.read_text()
    assert without_paths({"a": (1, [f"{ROOT}/b"])}) == {"a": (1, ["./b"])}


def test_gpu_names_become_file_names() -> None:
    assert slug("NVIDIA GeForce RTX 4090 (Laptop)") == "nvidia-geforce-rtx-4090-laptop"


def test_a_check_records_schedule_and_sources(measured) -> None:
    measured(Survey(A100, (), ()), {"": WITHOUT})
    found = check(Survey(A100, (), ()), A100, RECIPE)
    assert found.schedule == {"warmup": 20, "rounds": 30, "untimed": 3, "passes": 10}
    assert found.measured and not found.ran
