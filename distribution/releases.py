"""``instantstyle sign``."""

from pathlib import Path

from ..validation.bundle import read_bundle
from ..validation.integrity import verify
from .signing import sign_folder


def sign_bundle(folder: Path, private: Path) -> Path:
    """Signs a bundle that is what was built; the path of the signature.

    Raises:
        ArtifactError: it is not.
        SignatureError: no usable key.
    """
    verify(read_bundle(folder), folder)
    return sign_folder(folder, private)
