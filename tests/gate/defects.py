"""What may be wrong with a bundle, and the sentence that refuses it. ``says``, ``measured`` and the like leave nothing else wrong."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gate_helpers import Change, consistently, data, entry, measured, of_artifact, says, sha256, text, unsealed

HOME, OTHER = "onnx/float32-32x32", "onnx/int8-32x32"
MODEL = f"{HOME}/painter.onnx"
NAME = "onnx-float32-32x32"


def flip(position: int) -> Callable[[bytes], bytes]:
    return lambda old: old[:position] + bytes([old[position] ^ 1]) + old[position + 1 :]


def copy(source: str, target: str) -> Change:
    return lambda dist: shutil.copyfile(dist / source, dist / target)


def swap(one: str, other: str) -> Change:
    def apply(dist: Path) -> None:
        (dist / one).rename(dist / "meanwhile")
        (dist / other).rename(dist / one)
        (dist / "meanwhile").rename(dist / other)

    return apply


def link(name: str) -> Change:
    """A file or folder becomes a link to itself elsewhere."""

    def apply(dist: Path) -> None:
        elsewhere = dist.with_name("elsewhere")
        (dist / name).rename(elsewhere)
        (dist / name).symlink_to(elsewhere)

    return apply


def row(change: Callable[[dict[str, Any]], object], path: str = MODEL) -> Change:
    """Another row in the list of all files."""
    return says(lambda bundle: change(next(file for file in bundle["files"] if file["path"] == path)))


def listed_too(**changes: object) -> Change:
    """One row more in the list of all files: that of the model, changed."""
    return says(lambda bundle: bundle["files"].append(next(file for file in bundle["files"] if file["path"] == MODEL) | changes))


def hot(measurements: dict[str, Any]) -> dict[str, Any]:
    return next(latency for latency in measurements["latency"] if latency["graph"] == "painter")


def painter(measurements: dict[str, Any]) -> dict[str, Any]:
    return dict(measurements["graphs"])["painter"]


def first(measurements: dict[str, Any]) -> dict[str, Any]:
    return measurements["end_to_end"]["scores"][0]


def literal(key: str, value: str) -> Change:
    """The first value of a key as something else, in the text of ``bundle.json``."""

    def apply(dist: Path) -> None:
        before, after = (dist / "bundle.json").read_text().split(f'"{key}": ', 1)
        (dist / "bundle.json").write_text(f'{before}"{key}": {value}{after[min(after.index(","), after.index(chr(10))) :]}')

    return apply


def measurements_of_the_other(bundle: dict[str, Any]) -> None:
    entry(bundle)["measurements"] = entry(bundle, "onnx-int8")["measurements"]


def everywhere(key: str, value: object) -> Change:
    """The same change in manifest, entry and measurements."""

    def apply(dist: Path) -> None:
        manifest = dist / HOME / "artifact.json"
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {key: value}))
        digest = sha256(manifest.read_bytes())

        def change(found: dict[str, Any]) -> None:
            found[key] = found["measurements"][key] = value
            for file in found["measurements"]["evidence"]["files"]:
                if file["path"] == "artifact.json":
                    file.update(size_bytes=manifest.stat().st_size, sha256=digest)

        of_artifact(change)(dist)
        consistently(lambda _: None)(dist)

    return apply


FILES: dict[str, tuple[Change, str]] = {
    "a bit": (data(MODEL, flip(100)), rf"{MODEL} was altered after the build: its SHA-256"),
    "the last bit": (data(MODEL, lambda old: old[:-1] + bytes([old[-1] ^ 1])), rf"{MODEL} was altered"),
    "truncated": (data(MODEL, lambda old: old[:-1]), rf"{MODEL} was altered after the build: \d+ bytes, not"),
    "a byte more": (data(MODEL, lambda old: old + b"\0"), rf"{MODEL} was altered"),
    "emptied": (data(MODEL, lambda old: b""), rf"{MODEL} was altered after the build: 0 bytes"),
    "missing": (lambda dist: (dist / MODEL).unlink(), rf"{MODEL} is missing"),
    "a graph for another": (copy(f"{HOME}/encoder.onnx", MODEL), rf"{MODEL} was altered"),
    "a precision for another": (copy(f"{OTHER}/painter.onnx", MODEL), rf"{MODEL} was altered"),
    "two files swapped": (swap(MODEL, f"{HOME}/encoder.onnx"), rf"{HOME}/encoder.onnx was altered"),
    "two folders swapped": (swap(HOME, OTHER), rf"{HOME}/artifact.json was altered"),
    "a folder renamed": (lambda dist: (dist / HOME).rename(dist / "onnx/float-32x32"), "onnx/float-32x32 is a folder that bundle.json"),
    "a file more": (copy(MODEL, f"{HOME}/painter-2.onnx"), rf"{HOME}/painter-2.onnx is not listed in bundle.json"),
    "a file beside": (copy("summary.md", "notes.md"), "notes.md is not listed in bundle.json"),
    "a hidden file": (copy("summary.md", f"{HOME}/.summary.md.swp"), rf"{HOME}/.summary.md.swp is not listed"),
    "a folder more": (lambda dist: (dist / "ios").mkdir(), "ios is a folder that bundle.json does not list"),
    "a folder in a folder": (lambda dist: (dist / HOME / "cache").mkdir(), rf"{HOME}/cache is a folder that"),
    "a link": (link(MODEL), rf"{MODEL} is a link"),
    "a folder that is a link": (link(HOME), rf"{HOME} is a link"),
    "a dangling link": (lambda dist: (dist / "latest").symlink_to("nowhere"), "latest is a link"),
    "bundle.json is a link": (link("bundle.json"), "bundle.json is a link"),
    "a pipe": (lambda dist: os.mkfifo(dist / "pipe"), "pipe is neither a file nor a folder"),
    "another summary": (text("summary.md", "passed", "PASSED"), "summary.md was altered"),
    "no JUnit": (lambda dist: (dist / "junit.xml").unlink(), "junit.xml is missing"),
    "JUnit without a failure": (text("junit.xml", "<failure", "<!-- <failure"), "junit.xml was altered"),
    "another table": (data("calibration.json", flip(200)), "calibration.json was altered"),
    "another manifest": (text(f"{HOME}/artifact.json", '"shipped_bytes": ', '"shipped_bytes": 1'), rf"{HOME}/artifact.json was altered"),
    "a looser recipe": (text("recipe.toml", "min_ssim_mean = 0.99", "min_ssim_mean = 0.49"), "recipe.toml was altered"),
    "no bundle.json": (lambda dist: (dist / "bundle.json").unlink(), "bundle.json: cannot be read"),
    "half of bundle.json": (data("bundle.json", lambda old: old[: len(old) // 2]), "bundle.json: not valid JSON"),
    "an old bundle.json": (unsealed(lambda bundle: bundle.update(format=1)), "bundle.json: format 1; this version reads format 5"),
}

LISTS: dict[str, tuple[Change, str]] = {
    "a path upwards": (listed_too(path=f"../{MODEL}"), rf"lists the path '../{MODEL}', which is not one of a file inside"),
    "an absolute path": (listed_too(path="/etc/hostname"), "lists the path '/etc/hostname'"),
    "a crooked path": (listed_too(path=f"./{MODEL}"), rf"lists the path './{MODEL}'"),
    "a path of Windows": (listed_too(path="onnx\\painter.onnx"), r"lists the path 'onnx\\\\painter.onnx'"),
    "a file twice": (listed_too(), rf"lists '{MODEL}' twice"),
    "a file twice but for its case": (listed_too(path=MODEL.upper()), rf"lists '{MODEL.upper()}' twice, or the same as '{MODEL}'"),
    "a file that is not there": (listed_too(path="ios/model.bin"), "ios/model.bin is missing"),
    "an empty file": (row(lambda file: file.update(size_bytes=0)), rf"lists '{MODEL}' with a size of 0 bytes"),
    "another size": (row(lambda file: file.update(size_bytes=7)), rf"{MODEL} was altered after the build: \d+ bytes, not 7"),
    "another hash": (row(lambda file: file.update(sha256="0" * 64)), rf"{MODEL} was altered"),
    "a file not listed": (says(lambda bundle: bundle["files"].pop(0)), "is not listed in bundle.json|does not list"),
    "no list": (says(lambda bundle: bundle.update(files=[])), "is not listed in bundle.json|does not list"),
    "a recipe not listed": (
        lambda dist: (
            (dist / "recipe.toml").unlink(),
            says(lambda bundle: bundle.update(files=[file for file in bundle["files"] if file["path"] != "recipe.toml"]))(dist),
        ),
        "files has no recipe.toml",
    ),
    "an artifact's file not listed": (of_artifact(lambda artifact: artifact["files"].pop()), rf"{NAME}: files is .*artifact.json says"),
    "a manifest of another": (
        consistently(copy(f"{OTHER}/artifact.json", f"{HOME}/artifact.json")),
        rf"{NAME}: name is {NAME}, and .*int8",
    ),
    "a manifest with a key more": (
        consistently(text(f"{HOME}/artifact.json", '"target"', '"signed": true, "target"')),
        rf"{HOME}/artifact.json is not an artifact's manifest: unknown key 'signed'",
    ),
    "a manifest with a key twice": (
        consistently(text(f"{HOME}/artifact.json", '"target"', '"target": "onnx", "target"')),
        rf"{HOME}/artifact.json is not an artifact's manifest: the key 'target' is there twice",
    ),
    "a manifest with a text for a number": (
        consistently(data(f"{HOME}/artifact.json", lambda old: re.sub(rb'"shipped_bytes": (\d+)', rb'"shipped_bytes": "\1"', old))),
        rf"{HOME}/artifact.json is not an artifact's manifest: shipped_bytes",
    ),
    "model files of another build": (consistently(data(MODEL, flip(100))), rf"{NAME}: files .* differ by {MODEL}|{NAME}: files is"),
    "fewer bytes than its files": (everywhere("shipped_bytes", 82), rf"{NAME}: shipped_bytes is 82; its files have \d+ bytes"),
    "more bytes than its files": (everywhere("shipped_bytes", 99_999), rf"{NAME}: shipped_bytes is 99999"),
}

TYPES: dict[str, tuple[Change, str]] = {
    "a key twice": (
        text("bundle.json", '"format": 5,', '"format": 4, "format": 4,'),
        "bundle.json: the key 'format' is there twice",
    ),
    "a status twice": (text("bundle.json", '"status": ', '"status": "passed", "status": '), "the key 'status' is there twice"),
    "NaN as a time": (literal("p50_ms", "NaN"), "'p50_ms' is nan, which is not a number in JSON"),
    "Infinity as a ratio": (literal("over_pytorch", "Infinity"), "'over_pytorch' is inf"),
    "a number beyond all": (literal("over_pytorch", "1e999"), "'over_pytorch' is inf"),
    "the text NaN as a time": (
        measured(lambda m: hot(m)["artifact"].update(p50_ms="NaN")),
        rf"p50_ms: 'NaN' is not .*number.*{NAME}.*painter",
    ),
    "the text Infinity as a ratio": (measured(lambda m: hot(m).update(over_ort_float="Infinity")), rf"over_ort_float: 'Infinity'.*{NAME}"),
    "no time": (measured(lambda m: hot(m)["artifact"].update(p50_ms=None)), rf"p50_ms: None is not .*{NAME}"),
    "a text as runs": (measured(lambda m: hot(m)["artifact"].update(runs="30")), rf"runs: '30' is not of type 'integer'.*{NAME}"),
    "true as runs": (measured(lambda m: hot(m)["artifact"].update(runs=True)), rf"runs: True is not of type 'integer'.*{NAME}"),
    "true as SSIM": (measured(lambda m: first(m).update(ssim=True)), rf"ssim: True is not .*{NAME}"),
    "a text as SSIM": (measured(lambda m: first(m).update(ssim="0.99")), rf"ssim: '0.99' is not .*{NAME}"),
    "half a convolution": (measured(lambda m: m["executions"][0].update(convolutions=1.5)), rf"convolutions: 1.5 is not .*{NAME}.*encoder"),
    "a key more": (of_artifact(lambda artifact: artifact.update(waived=True)), rf"'waived' was unexpected.*{NAME}"),
    "a key less": (of_artifact(lambda artifact: artifact.pop("limits")), rf"'limits' is a required property.*{NAME}"),
    "no evidence": (measured(lambda m: m.pop("evidence")), rf"'evidence' is a required property.*{NAME}"),
    "a time of nothing": (measured(lambda m: hot(m)["artifact"].update(p50_ms=0)), rf"p50_ms: 0 is less than or equal .*{NAME}"),
    "a negative time": (measured(lambda m: hot(m)["pytorch"].update(p50_low_ms=-1.0)), rf"p50_low_ms: -1.0 is less .*{NAME}"),
    "negative memory": (measured(lambda m: m.update(peak_memory_bytes=-5)), rf"peak_memory_bytes: -5 is less .*{NAME}"),
    "a busy share of two": (measured(lambda m: m["machine"].update(busy_elsewhere=2)), rf"busy_elsewhere: 2 is greater .*{NAME}"),
    "a hash that is none": (says(lambda bundle: bundle.update(reference_sha256="none")), "reference_sha256: 'none' does not match"),
}

VALUES: dict[str, tuple[Change, str]] = {
    "SSIM above 1": (measured(lambda m: first(m).update(ssim=1.01)), rf"{NAME}: measurements.end_to_end.scores\['10 x 14'\].ssim is 1.01"),
    "SSIM below -1": (measured(lambda m: first(m).update(ssim=-1.5)), r"end_to_end.scores\['10 x 14'\].ssim is -1.5, outside of -1 to 1"),
    "SSIM infinite": (measured(lambda m: first(m).update(ssim="Infinity")), r"\['10 x 14'\].ssim is inf"),
    "SSIM NaN": (measured(lambda m: first(m).update(ssim="NaN")), rf"{NAME}: failures are not what .*: finite, min_ssim"),
    "SSIM null": (measured(lambda m: first(m).update(ssim=None)), r"\['10 x 14'\].ssim is None; output 'image' is an image"),
    "SSIM of a code": (
        measured(lambda m: dict(m["graphs"])["encoder"]["scores"][0].update(ssim=1.0)),
        r"graphs\['encoder'\].scores\['10 x 14'\].ssim is 1.0; output 'code' is no image",
    ),
    "a negative difference": (measured(lambda m: first(m).update(max_abs=-0.1)), r"\['10 x 14'\].max_abs is -0.1, below 0"),
    "equal and different": (
        measured(lambda m: first(m).update(max_abs=0)),
        r"\['10 x 14'\].psnr_db is .*, and of equal outputs it is infinite",
    ),
    "a sample left out": (
        measured(lambda m: m["end_to_end"]["scores"].pop()),
        "end_to_end.scores has no score of 1 of 8 samples, first '13 x 15'",
    ),
    "a sample twice": (measured(lambda m: m["end_to_end"]["scores"].append(first(m))), "end_to_end.scores has the sample '10 x 14' twice"),
    "a sample renamed": (measured(lambda m: first(m).update(sample="easy")), "has no score of 1 of 8 samples, first '10 x 14'"),
    "no samples": (measured(lambda m: m["end_to_end"].update(scores=[])), "end_to_end.scores has no score of 8 of 8 samples"),
    "a hard sample left out": (measured(lambda m: m["end_to_end"]["hard_scores"].pop(0)), "end_to_end.hard_scores has no score of 1 of"),
    "a sample of a graph left out": (
        measured(lambda m: painter(m)["scores"].pop()),
        r"graphs\['painter'\].scores has 7 entries; .* 8 times",
    ),
    "a hard sample of a graph left out": (measured(lambda m: painter(m)["hard_scores"].pop()), r"graphs\['painter'\].hard_scores has"),
    "a graph left out": (measured(lambda m: m["graphs"].pop()), "graphs is of encoder, not of encoder, painter"),
    "an execution left out": (
        measured(lambda m: m["executions"].pop()),
        "executions is of encoder, the artifact's graphs are encoder, painter",
    ),
    "an execution twice": (measured(lambda m: m["executions"].append(m["executions"][0])), "executions is of encoder, painter, encoder"),
    "a latency left out": (measured(lambda m: m["latency"].pop()), "latency has nothing of graph 'painter'"),
    "a latency twice": (measured(lambda m: m["latency"].append(m["latency"][0])), "latency has a graph twice: encoder, painter, encoder"),
    "fewer runs": (
        measured(lambda m: hot(m)["artifact"].update(runs=19)),
        r"latency\['painter'\].artifact.runs is 19; the recipe wants 20 in each of 1",
    ),
    "another contestant": (measured(lambda m: hot(m)["ort_float"].update(name="pytorch")), r"\.ort_float.name is 'pytorch'"),
    "a ratio of other times": (
        measured(lambda m: hot(m).update(over_pytorch=9.0, over_pytorch_high=9.5)),
        r"latency\['painter'\].over_pytorch is 9.0; by the times it comes from",
    ),
    "a time of another ratio": (
        measured(lambda m: hot(m)["artifact"].update(p50_ms=1e-9, p50_low_ms=1e-10)),
        r"latency\['painter'\].over_ort_float is .*; by the times",
    ),
    "an interval beside its value": (
        measured(lambda m: hot(m).update(over_pytorch_low=1000.0, over_pytorch_high=1001.0)),
        r"over_pytorch is .*, outside of its interval 1000.0 to 1001.0",
    ),
    "low above high": (
        measured(lambda m: hot(m)["artifact"].update(p50_low_ms=2000.0)),
        r"latency\['painter'\].artifact.p50_ms is .*, outside of its interval 2000.0 to",
    ),
    "a percentile below the median": (
        measured(lambda m: hot(m)["artifact"].update(p90_ms=1e-9)),
        r"artifact.p90_ms is 1e-09, below p50_ms",
    ),
    "a percentile left out": (
        measured(lambda m: hot(m)["artifact"].update(p90_ms=None)),
        r"artifact.p90_ms is None, which \d+ runs can carry",
    ),
    "more int8 than convolutions": (
        measured(lambda m: m["executions"][0].update(int8_convolutions=99)),
        r"executions\['encoder'\].int8_convolutions is 99, of 2 convolutions",
    ),
    "less int8 asked for": (
        measured(lambda m: m["executions"][0].update(int8_convolutions_asked=0), "onnx-int8"),
        r"onnx-int8-32x32: measurements.executions\['encoder'\].int8_convolutions_asked is 0, and has to be 2",
    ),
    "other threads": (measured(lambda m: m["machine"].update(threads=8)), "machine.threads is 8, and has to be 1"),
    "another hot graph": (
        measured(lambda m: m.update(hot_graph="decoder")),
        "hot_graph is 'decoder', which is none of the artifact's graphs",
    ),
    "a vendor without a name": (
        measured(lambda m: m.update(by_vendor=True)),
        "by_vendor is true, and evaluator is empty",
    ),
    "an evaluator that was timed": (
        measured(lambda m: m.update(evaluator="a friend")),
        "evaluator is 'a friend', so that there can be no latency",
    ),
    "another size in bytes": (measured(lambda m: m.update(shipped_bytes=1)), r"shipped_bytes is 1, and has to be \d+"),
    "measurements of another": (says(measurements_of_the_other), rf"{NAME}: measurements.artifact is 'onnx-int8-32x32'"),
    "calls left out": (
        measured(lambda m: m["evidence"]["calls"].pop()),
        "evidence.calls is of encoder, the artifact's graphs are encoder, painter",
    ),
}

JUDGEMENT: dict[str, tuple[Change, str]] = {
    "nothing required": (
        says(lambda bundle: bundle.update(required=[])),
        "required is nothing; by its recipe.toml and files it is onnx-float32",
    ),
    "something else required": (says(lambda bundle: bundle.update(required=["onnx-int8"])), "required is onnx-int8; by its recipe.toml"),
    "graph parity suffices": (
        says(lambda bundle: bundle.update(graph_parity_suffices=["onnx-float32"])),
        "graph_parity_suffices is onnx-float32; by its recipe.toml and files it is nothing",
    ),
    "vendor code suffices": (
        says(lambda bundle: bundle.update(vendor_cpu_suffices=["onnx-float32"])),
        "vendor_cpu_suffices is onnx-float32; by its recipe.toml and files it is nothing",
    ),
    "a lower limit": (
        of_artifact(lambda artifact: artifact["limits"].update(min_ssim_mean=0.5)),
        rf"{NAME}: limits.min_ssim_mean is 0.5; by its recipe.toml and files it is 0.99",
    ),
    "a limit left out": (
        of_artifact(lambda artifact: artifact["limits"].update(min_ssim_worst=None)),
        rf"{NAME}: limits.min_ssim_worst is None",
    ),
    "a limit more": (of_artifact(lambda artifact: artifact["limits"].update(max_bytes=9)), rf"{NAME}: limits.max_bytes is 9"),
    "a recipe with a lower limit": (
        consistently(text("recipe.toml", "min_ssim_mean = 0.99", "min_ssim_mean = 0.49")),
        "recipe.sha256 is .*; by its recipe.toml",
    ),
    "another recipe's name": (says(lambda bundle: bundle["recipe"].update(name="mobile")), "recipe.name is mobile; by its recipe.toml"),
    "passed for failed": (
        of_artifact(lambda artifact: artifact.update(status="passed", failures=[]), "onnx-int8"),
        "onnx-int8-32x32: failures are not what its measurements and limits amount to|onnx-int8-32x32: status is passed",
    ),
    "another status": (
        of_artifact(lambda artifact: artifact.update(status="graph_parity")),
        rf"{NAME}: status is graph_parity; .* it is passed",
    ),
    "a failure waved through": (
        of_artifact(lambda artifact: artifact["measurements"]["end_to_end"]["scores"][0].update(ssim=0.5, psnr_db=9.0, max_abs=1.0)),
        rf"{NAME}: failures are not what its measurements and limits amount to: min_ssim",
    ),
    "an artifact left out": (
        says(lambda bundle: bundle["artifacts"].pop()),
        "artifacts has onnx-int8-32x32 not, and recipe.toml asks for it",
    ),
    "an artifact twice": (says(lambda bundle: bundle["artifacts"].append(entry(bundle))), rf"artifacts has {NAME} twice"),
    "an artifact renamed": (
        of_artifact(lambda artifact: artifact.update(name="onnx-float32-64x64")),
        r"artifacts has onnx-float32-32x32 not",
    ),
    "an artifact of another size": (
        of_artifact(lambda artifact: artifact.update(size=[64, 64])),
        r"onnx-float32-32x32.* recipe.toml does not ask",
    ),
    "no sizes": (says(lambda bundle: bundle.update(sizes=[])), "sizes is nothing; by its recipe.toml"),
    "another folder": (of_artifact(lambda artifact: artifact.update(folder=OTHER)), rf"{NAME}: folder is {OTHER}"),
    "no folder": (of_artifact(lambda artifact: artifact.update(folder="")), rf"{NAME}: folder is empty, and there are files"),
    "not measured and passed": (
        of_artifact(lambda artifact: artifact.update(measurements=None)),
        rf"{NAME}: status is 'passed', and there are no",
    ),
    "built alone": (says(lambda bundle: bundle.update(built_only="coreml")), "built_only is 'coreml', which recipe.toml does not build"),
    "pairs of another kind": (
        says(lambda bundle: bundle["samples"].update(pairing="cycle")),
        "samples.pairing is cycle; by its recipe.toml",
    ),
    "measured on another image": (
        measured(lambda m: m["evidence"]["samples"]["images"][0][1].update(sha256="1" * 64)),
        rf"{NAME}: measurements.evidence.samples: image '11' has SHA-256 111111111111…, not",
    ),
    "measured on fewer images": (
        measured(lambda m: m["evidence"]["samples"]["images"][1].pop()),
        rf"{NAME}: measurements.*(has the sample '10 x 15', which is none of the validation set|there are 5 images, not 6)",
    ),
    "measured with another model file": (
        measured(lambda m: m["evidence"]["files"][1].update(sha256="2" * 64)),
        rf"{NAME}: measurements.evidence.files: encoder.onnx was measured with SHA-256 222222222222…",
    ),
    "measured with another manifest": (
        measured(lambda m: m["evidence"]["files"][0].update(sha256="3" * 64)),
        rf"{NAME}: measurements.evidence.files: it was measured with another artifact.json",
    ),
    "timed against nothing": (measured(lambda m: m["evidence"].update(baseline=[])), rf"{NAME}: measurements.evidence.baseline is empty"),
    "compared with another model": (
        measured(lambda m: m["evidence"].update(reference_sha256="4" * 64)),
        rf"{NAME}: measurements.evidence.reference_sha256 is 4444",
    ),
}

DIGESTS: dict[str, tuple[Change, str]] = {
    "another date": (unsealed(lambda bundle: bundle.update(created="2020-01-01T00:00:00Z")), "'created' was altered after the build"),
    "another model": (unsealed(lambda bundle: bundle["model"].update(name="other")), "says model 'painter', and the bundle is of 'other'"),
    "another checkpoint": (
        unsealed(lambda bundle: bundle["model"].update(checkpoint_sha256="5" * 64)),
        "says checkpoint_sha256 '', and the bundle is of '5555",
    ),
    "another library": (unsealed(lambda bundle: bundle["libraries"][0].update(version="0")), "'libraries' was altered"),
    "a higher SSIM": (
        unsealed(lambda bundle: first(entry(bundle, "onnx-int8")["measurements"]).update(ssim=0.9999)),
        r"'artifacts\[1\].measurements' was altered",
    ),
    "a digest left out": (unsealed(lambda bundle: bundle["digests"].pop()), r"'artifacts\[1\].notes' was altered"),
    "a digest twice": (unsealed(lambda bundle: bundle["digests"].append(bundle["digests"][0])), "'format' was altered"),
    "no digests": (unsealed(lambda bundle: bundle.update(digests=[])), "'format' was altered"),
}

DEFECTS = {
    f"{kind}: {name}": case
    for kind, cases in {
        "file": FILES, "list": LISTS, "type": TYPES, "value": VALUES, "judgement": JUDGEMENT, "digest": DIGESTS,
    }.items()
    for name, case in cases.items()
}  # fmt: skip
