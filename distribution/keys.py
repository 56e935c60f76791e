"""Key pairs: ECDSA on P-256 in PEM files, which is what ``model-signing`` signs with offline."""

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..system.disk import check_output
from ..system.errors import MissingPackageError
from .errors import SignatureError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

PUBLIC_SUFFIX = ".pub"
INSTALL = 'pip install "instantstyle[sign]"'
LARGEST_KEY_BYTES = 10_000


def require_signing() -> None:
    """Imports what signs and verifies.

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        import model_signing  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        raise MissingPackageError(f"signatures need model-signing and what it is built on ({error}): {INSTALL}") from error


def make_keys(private: Path) -> Path:
    """Writes a new private key, readable for its owner alone, and beside it the public key, whose path it gives.

    Raises:
        OutputError: one of the files is there, or cannot be written. A key is never overwritten: what it signed would be worth nothing.
    """
    require_signing()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    public = private.with_name(private.name + PUBLIC_SUFFIX)
    for path in (private, public):
        check_output(path)
        if path.exists():
            raise SignatureError(f"{path}: is there already, and a key is not overwritten. Choose another name")
    key = ec.generate_private_key(ec.SECP256R1())
    private.parent.mkdir(parents=True, exist_ok=True)
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    shown = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    _write_new(private, secret, 0o600)
    _write_new(public, shown, 0o644)
    return public


def _write_new(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def private_key(path: Path) -> "EllipticCurvePrivateKey":
    """The key in a PEM file that ``make_keys`` wrote.

    Raises:
        SignatureError: it is missing or none.
    """
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = _read(path, "private key")
    try:
        key = load_pem_private_key(content, None)
    except (ValueError, TypeError) as error:
        raise SignatureError(f"{path}: is no private key without a password in PEM; `instantstyle keygen` makes one") from error
    if not isinstance(key, EllipticCurvePrivateKey):
        raise SignatureError(f"{path}: is a private key of another kind; `instantstyle keygen` makes one on the curve P-256")
    return key


def public_key(path: Path) -> "EllipticCurvePublicKey":
    """The public key in a PEM file. Raises SignatureError as ``private_key`` does."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    content = _read(path, "public key")
    if b"PRIVATE KEY" in content:
        raise SignatureError(f"{path}: is a private key, which stays with whoever signs; give the public one, {path.name}{PUBLIC_SUFFIX}")
    try:
        key = load_pem_public_key(content)
    except ValueError as error:
        raise SignatureError(f"{path}: is no public key in PEM; take the one that the owner of the release published") from error
    if not isinstance(key, EllipticCurvePublicKey):
        raise SignatureError(f"{path}: is a public key of another kind; releases are signed with one on the curve P-256")
    return key


def public_pem(key: "EllipticCurvePublicKey") -> bytes:
    """As it lies in a file."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def key_id(key: "EllipticCurvePublicKey") -> str:
    """What a key is called: the SHA-256 of its PEM."""
    return hashlib.sha256(public_pem(key)).hexdigest()


def _read(path: Path, what: str) -> bytes:
    require_signing()
    try:
        if path.stat().st_size > LARGEST_KEY_BYTES:
            raise SignatureError(f"{path}: is too large for a {what}")
        return path.read_bytes()
    except OSError as error:
        raise SignatureError(f"{path}: the {what} cannot be read ({(error.strerror or str(error)).lower()})") from error
