import json
import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest
import validation_fakes as fakes

from instantstyle.recipe.limits import Limits
from instantstyle.recipe.precision import Precision
from instantstyle.system.errors import ArtifactError, InstantStyleError
from instantstyle.validation.judge.entries import not_emitted, unmeasured
from instantstyle.validation.results.bundle import creation_time
from instantstyle.validation.results.bundle_file import digests, read_bundle, schema_text, write_bundle
from instantstyle.validation.results.codec import decode, encode
from instantstyle.validation.results.measurements import Measurements, Quality, Score, Status

SCHEMA = Path(__file__).parents[2] / "docs" / "bundle.schema.json"


def content_of(folder: Path) -> dict:
    return json.loads((folder / "bundle.json").read_text())


def test_round_trip(tmp_path: Path) -> None:
    bundle = fakes.bundle_in(tmp_path, Limits(min_ssim_mean=0.99))
    write_bundle(bundle, tmp_path)
    assert read_bundle(tmp_path) == replace(bundle, digests=digests(bundle))
    assert bundle.artifacts[0].status is Status.FAILED
    assert content_of(tmp_path)["created"] == "2026-11-22T10:30:00Z"


def test_what_is_not_finite_survives_as_valid_json(tmp_path: Path) -> None:
    scores = (Score("equal", 1.0, math.inf, 0.0), Score("broken", math.nan, -math.inf, math.nan))
    bundle = fakes.bundle_in(tmp_path, end_to_end=Quality(scores, ()))
    write_bundle(bundle, tmp_path)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    content = json.loads((tmp_path / "bundle.json").read_text(), parse_constant=refuse)
    stored = content["artifacts"][0]["measurements"]["end_to_end"]["scores"]
    assert [score["psnr_db"] for score in stored] == ["Infinity", "-Infinity"]
    assert stored[1]["ssim"] == "NaN"
    measured = read_bundle(tmp_path).artifacts[0].measurements
    assert measured is not None
    equal, broken = measured.end_to_end.scores
    assert equal == scores[0]
    assert broken.ssim is not None and math.isnan(broken.ssim) and math.isnan(broken.max_abs) and broken.psnr_db == -math.inf


def test_the_committed_schema_is_that_of_the_code() -> None:
    assert SCHEMA.read_text() == schema_text(), (
        "write it again: python -m instantstyle.validation.results.bundle_file > docs/bundle.schema.json"
    )


def test_a_written_bundle_follows_the_committed_schema(tmp_path: Path) -> None:
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    bundle = fakes.bundle_in(tmp_path, Limits(max_bytes=5), end_to_end=Quality((Score("equal", 1.0, math.inf, math.nan),), ()))
    absent = not_emitted(
        "coreml", Precision.FLOAT16, size=(512, 512), limits=Limits(), status=Status.NOT_EXECUTED, reason="not installed: coremltools"
    )
    write_bundle(replace(bundle, artifacts=(*bundle.artifacts, absent)), tmp_path)
    jsonschema.validate(content_of(tmp_path), schema, cls=jsonschema.Draft202012Validator)


def test_everything_in_the_schema_is_described() -> None:
    schema = json.loads(SCHEMA.read_text())
    for name, definition in {**schema["$defs"], "Bundle": schema}.items():
        assert definition["description"], name
        for key, entry in definition.get("properties", {}).items():
            assert entry.get("description"), f"{name}.{key}"


@pytest.mark.parametrize(
    "change,where",
    [
        (lambda content: content.update(extra=1), "extra"),
        (lambda content: content["artifacts"][0].pop("status"), r"artifacts\[0\].*status"),
        (lambda content: content["artifacts"][0].update(status="fine"), r"artifacts\[0\].status"),
        (lambda content: content["artifacts"][0]["measurements"].update(shipped_bytes="3"), r"measurements.*shipped_bytes"),
        (lambda content: content["artifacts"][0]["measurements"]["machine"].update(load_before="0.1"), "load_before"),
        (lambda content: content["artifacts"][0]["limits"].update(min_ssim_mean=2), "min_ssim_mean"),
        (lambda content: content.update(created="yesterday"), "created"),
        (lambda content: content.update(format=1), "format 1; this version reads format 5"),
    ],
)
def test_a_bundle_that_is_not_one_is_refused(tmp_path: Path, change, where: str) -> None:
    write_bundle(fakes.bundle_in(tmp_path), tmp_path)
    content = content_of(tmp_path)
    change(content)
    (tmp_path / "bundle.json").write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match=f"(?s)bundle.json: .*{where}"):
        read_bundle(tmp_path)


def test_a_missing_and_a_truncated_bundle_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="bundle.json: cannot be read"):
        read_bundle(tmp_path)
    (tmp_path / "bundle.json").write_text('{"format": 1')
    with pytest.raises(ArtifactError, match="not valid JSON"):
        read_bundle(tmp_path)


def test_measurements_round_trip_by_themselves() -> None:
    measured = fakes.measurements()
    assert decode(Measurements, encode(measured), "cache") == measured


def test_what_was_not_measured_never_passes() -> None:
    for status, reason in ((Status.PASSED, "because"), (Status.FAILED, ""), (Status.NOT_EXECUTED, "")):
        with pytest.raises(ValueError, match="did not pass, and needs a reason"):
            unmeasured(fakes.artifact(), "folder", Limits(), status, reason)
    entry = not_emitted("tensorrt", Precision.INT8, size=(256, 512), limits=Limits(), status=Status.NOT_EXECUTED, reason="no GPU")
    assert (entry.name, entry.folder, entry.files, entry.shipped_bytes, entry.measurements) == ("tensorrt-int8-256x512", "", (), 0, None)


def test_creation_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert creation_time() == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "soon")
    with pytest.raises(InstantStyleError, match="SOURCE_DATE_EPOCH has to be seconds since 1970, found 'soon'"):
        creation_time()
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    now = creation_time()
    assert now.tzinfo is UTC and abs((datetime.now(UTC) - now).total_seconds()) < 60
