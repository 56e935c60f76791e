"""A signed bundle and its keys."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Signed:
    """A folder with a signed bundle, and keys."""

    dist: Path
    private: Path
    public: Path
    stranger: Path


def variant(signed: Signed, graph: str, note: bytes, edit: Callable[[Any], object] = lambda model: None) -> None:
    """Makes of the bundle one whose float32 graph has a note more, or an edit. Lists, seals and signs it again."""
    import json

    import onnx
    from gate_helpers import content, listed, sealed, sha256

    from instantstyle.distribution.signing import sign_folder

    home = signed.dist / "onnx/float32-32x32"
    model = onnx.load(home / graph)
    model.doc_string = note.decode()
    edit(model)
    onnx.save(model, home / graph)
    data = (home / graph).read_bytes()
    row = {"path": graph, "size_bytes": len(data), "sha256": sha256(data)}

    def replaced(rows: list[dict[str, object]]) -> list[dict[str, object]]:
        return [row if each["path"] == graph else each for each in rows]

    manifest = json.loads((home / "artifact.json").read_text())
    manifest["files"] = replaced(manifest["files"])
    manifest["shipped_bytes"] = sum(each["size_bytes"] for each in manifest["files"] if each["path"].endswith(".onnx"))
    (home / "artifact.json").write_text(json.dumps(manifest, indent=1))
    bundle = content(signed.dist)
    entry = next(each for each in bundle["artifacts"] if each["name"] == "onnx-float32-32x32")
    entry["files"], entry["shipped_bytes"] = manifest["files"], manifest["shipped_bytes"]
    measured = entry["measurements"]
    measured["shipped_bytes"] = manifest["shipped_bytes"]
    text = (home / "artifact.json").read_bytes()
    own = {"path": "artifact.json", "size_bytes": len(text), "sha256": sha256(text)}
    measured["evidence"]["files"] = [own if each["path"] == "artifact.json" else each for each in replaced(measured["evidence"]["files"])]
    (signed.dist / "bundle.json").write_text(json.dumps(sealed(listed(bundle, signed.dist)), indent=1))
    sign_folder(signed.dist, signed.private)
