"""What is signed is refused after any change, before anything of it is opened; what holds is run again."""

import base64
import json
import os
import re
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from distribution_helpers import Signed
from gate_helpers import content, listed, release, run, sealed, sha256

from instantstyle.distribution import verifying
from instantstyle.targets.onnx.target import OnnxTarget


def verify(signed: Signed, *options: object) -> tuple[int, str]:
    return run("verify", signed.dist, "--key", signed.public, *options)


def test_a_signed_bundle_is_verified_and_run_bit_for_bit(signed: Signed) -> None:
    code, output = verify(signed)
    assert code == 0, output
    assert output.count("bit for bit what the build gave") == 2
    assert re.search(r"verified: ([12]) of \1 artifacts that passed at the build were run here", output), output
    assert re.search(r"onnx-float32-32x32: kept its limits\n  18 golden pairs, SSIM at least 0\.999\d", output), output


def test_the_signature_is_one_of_ecdsa_over_the_sha256_of_every_file(signed: Signed) -> None:
    """Checked without the library that made it: DSSE (https://github.com/secure-systems-lab/dsse) over an in-toto statement."""
    envelope = json.loads((signed.dist / "signature.json").read_text())["dsseEnvelope"]
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"]
    encoded = f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload
    key = load_pem_public_key(signed.public.read_bytes())
    assert isinstance(key, EllipticCurvePublicKey)
    key.verify(base64.b64decode(envelope["signatures"][0]["sig"]), encoded, ECDSA(hashes.SHA256()))
    rows = {row["name"]: row["digest"] for row in json.loads(payload)["predicate"]["resources"]}
    files = {path.relative_to(signed.dist).as_posix(): path for path in signed.dist.rglob("*") if path.is_file()}
    del files["signature.json"]
    assert rows == {name: sha256(path.read_bytes()) for name, path in files.items()}


def test_the_private_key_is_its_owners_alone_and_is_never_replaced(keys: Path) -> None:
    assert stat.S_IMODE((keys / "owner").stat().st_mode) == 0o600
    code, output = run("keygen", keys / "owner")
    assert code == 2 and "a key is not overwritten" in output


def flip(name: str, place: float) -> Callable[[Path], object]:
    def change(dist: Path) -> None:
        data = bytearray((dist / name).read_bytes())
        data[int(place * (len(data) - 1))] ^= 1
        (dist / name).write_bytes(data)

    return change


def listed_anew(dist: Path) -> None:
    """Limits lowered, and everything hashed again as the build does it: nothing but the signature can tell."""
    (dist / "recipe.toml").write_text((dist / "recipe.toml").read_text().replace("min_ssim_mean = 0.99", "min_ssim_mean = 0.10"))
    bundle = listed(content(dist), dist)
    bundle["recipe"]["sha256"] = sha256((dist / "recipe.toml").read_bytes())
    for artifact in bundle["artifacts"]:
        if artifact["name"].startswith("onnx-float32"):
            artifact["limits"]["min_ssim_mean"] = 0.10
    (dist / "bundle.json").write_text(json.dumps(sealed(bundle), indent=1))


def linked(dist: Path) -> None:
    outside = dist.parent / "summary.md"
    shutil.move(dist / "summary.md", outside)
    (dist / "summary.md").symlink_to(outside)


def format_1(dist: Path) -> None:
    (dist / "bundle.json").write_text((dist / "bundle.json").read_text().replace('"format": 5', '"format": 1', 1))


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a bit of a model": (flip("onnx/int8-32x32/painter.onnx", 0.5), "is not what was signed: altered: onnx/int8-32x32/painter.onnx; fetch"),
    "the last bit of bundle.json": (flip("bundle.json", 1.0), "is not what was signed: altered: bundle.json; fetch"),
    "a bit of a golden picture": (
        flip("golden/32x32/output-00.png", 0.9),
        "is not what was signed: altered: golden/32x32/output-00.png; fetch",
    ),
    "a golden picture missing": (lambda dist: (dist / "golden/32x32/output-00.png").unlink(), "missing: golden/32x32/output-00.png; fetch"),
    "a file more": (lambda dist: (dist / "run.py").write_text("1"), "not signed: run.py; fetch"),
    "a file of git more": (lambda dist: (dist / ".gitattributes").write_text("1"), "not signed: .gitattributes; fetch"),
    "a link": (linked, "summary.md: is a link"),
    "a pipe": (lambda dist: os.mkfifo(dist / "pipe"), "pipe: is neither a file nor a folder"),
    "an older manifest": (format_1, "is not what was signed: altered: bundle.json; fetch"),
    "limits lowered and hashed again": (listed_anew, "is not what was signed: altered: bundle.json, recipe.toml; fetch"),
    "no signature": (lambda dist: (dist / "signature.json").unlink(), "is not signed, there is no signature.json"),
    "an empty signature": (lambda dist: (dist / "signature.json").write_text(""), "its signature is damaged"),
    "a signature of nothing": (lambda dist: (dist / "signature.json").write_text("{}"), "its signature is damaged"),
    "a bit of the signature": (flip("signature.json", 0.6), "signature"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_bundle_is_refused_before_anything_of_it_is_opened(signed: Signed, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    change, sentence = CHANGES[name]
    change(signed.dist)
    for function in ("read_bundle", "parse_recipe", "read_manifest", "read_golden", "replay"):
        monkeypatch.setattr(verifying, function, lambda *arguments, function=function: pytest.fail(f"{function} was called"))
    code, output = verify(signed)
    assert code == 2
    assert re.search(sentence, output), output


def test_another_key_is_refused(signed: Signed) -> None:
    code, output = run("verify", signed.dist, "--key", signed.stranger)
    assert code == 2 and "was signed with another key than" in output


def test_a_signature_of_another_key_with_the_right_hint_is_refused(signed: Signed, keys: Path) -> None:
    honest = json.loads((signed.dist / "signature.json").read_text())
    assert run("sign", signed.dist, "--key", keys / "stranger")[0] == 0
    forged = json.loads((signed.dist / "signature.json").read_text())
    forged["verificationMaterial"] = honest["verificationMaterial"]
    (signed.dist / "signature.json").write_text(json.dumps(forged))
    code, output = verify(signed)
    assert code == 2 and "its signature was altered, or made with another key" in output


@pytest.mark.parametrize("path", ["../outside.txt", "/etc/passwd", "golden/../recipe.toml", "a\\b", "signature.json", "golden//x.png"])
def test_a_signed_list_with_a_path_that_leaves_is_refused(signed: Signed, path: str) -> None:
    bundle = content(signed.dist)
    bundle["files"].append({"path": path, "size_bytes": 1, "sha256": "0" * 64})
    (signed.dist / "bundle.json").write_text(json.dumps(sealed(bundle)))
    from instantstyle.distribution.signing import sign_folder

    sign_folder(signed.dist, signed.private)
    code, output = verify(signed)
    assert code == 2 and "lists" in output, output


def test_an_altered_bundle_is_not_signed(signed: Signed) -> None:
    flip("recipe.toml", 0.5)(signed.dist)
    code, output = run("sign", signed.dist, "--key", signed.private)
    assert code == 2 and "recipe.toml was altered" in output


def test_a_private_key_is_not_taken_for_a_public_one(signed: Signed) -> None:
    code, output = run("verify", signed.dist, "--key", signed.private)
    assert code == 2 and "is a private key, which stays with whoever signs" in output


def test_other_numbers_than_at_the_build_are_refused_on_the_same_machine(signed: Signed, monkeypatch: pytest.MonkeyPatch) -> None:
    """By less than any SSIM shows: only the bits tell."""
    change_outputs(monkeypatch, 1e-6)
    code, output = verify(signed)
    assert code == 1 and "other bits than at the build, with the same processor and the same libraries" in output


def test_on_another_machine_ssim_decides(signed: Signed, monkeypatch: pytest.MonkeyPatch) -> None:
    change_outputs(monkeypatch, 1e-6)
    with monkeypatch.context() as patch:
        patch.setattr("instantstyle.export.stages.replay.cpu_name", lambda: "Another CPU")
        code, output = verify(signed)
        assert code == 0 and "judged by SSIM, not by bits, because of cpu: Another CPU here, " in output
        change_outputs(patch, 0.4)
        code, output = verify(signed)
        assert code == 1 and re.search(r"onnx-float32-32x32: failed\n  '10 x 14': SSIM 0\.\d+, at least 0.98 is wanted", output), output


def change_outputs(monkeypatch: pytest.MonkeyPatch, amplitude: float) -> None:
    """What ONNX artifacts give is moved by noise."""
    import numpy as np

    from instantstyle.targets.onnx.runner import OrtRunner

    honest = OrtRunner.run

    def run_noisily(self: OrtRunner, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        noise = np.random.default_rng(1)
        return {name: value + noise.normal(0, amplitude, value.shape).astype(np.float32) for name, value in honest(self, inputs).items()}

    monkeypatch.setattr(OrtRunner, "run", run_noisily)


def test_what_runs_nowhere_has_not_passed(signed: Signed, monkeypatch: pytest.MonkeyPatch) -> None:
    from instantstyle.targets.base import Availability

    monkeypatch.setattr(OnnxTarget, "availability", lambda self: Availability(True, False, "onnxruntime is not installed"))
    code, output = verify(signed)
    assert code == 1 and "no golden pair could be run here" in output and "not executed here: onnxruntime is not installed" in output
    code, output = verify(signed, "--signature-only")
    assert code == 0 and "golden pairs were not run" in output


def test_golden_pairs_keep_their_budget_and_are_listed(signed: Signed) -> None:
    rows = [row for row in content(signed.dist)["files"] if row["path"].startswith("golden/")]
    assert sum(row["size_bytes"] for row in rows) < 1_000_000
    golden = json.loads((signed.dist / "golden/32x32/golden.json").read_text())
    assert [pair["hard"] for pair in golden["pairs"]] == [False] * 4 + [True] * 14
    assert golden["reason"] == "" and golden["output"] == "image"


def test_a_release_that_changes_nothing_keeps_its_signature(workshop: Path, keys: Path, tmp_path: Path) -> None:
    work = Path(shutil.copytree(workshop, tmp_path / "work"))
    # The recipe's paths are relative, so that the cache serves the copy.
    code, output = release(work)
    assert code == 0 and "was up to date" in output, output
    assert run("sign", work / "dist", "--key", keys / "owner")[0] == 0
    code, output = release(work)
    assert code == 0 and "was up to date" in output, output
    assert run("verify", work / "dist", "--key", keys / "owner.pub")[0] == 0
