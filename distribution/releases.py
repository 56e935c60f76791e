"""``instantstyle sign``."""

from pathlib import Path

from ..validation.integrity import verify
from ..validation.results.bundle_file import read_bundle
from .signing import sign_folder


def sign_bundle(folder: Path, private: Path) -> Path:
    """Signs a bundle that is what was built; the path of the signature.

    Raises:
        ArtifactError: it is not.
        SignatureError: no usable key.
    """
    verify(read_bundle(folder), folder)
    return sign_folder(folder, private)
