"""Signatures by ``model-signing`` with a local key: over the SHA-256 of every file of a folder, or over one text. Offline."""

import contextlib
import io
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..system.disk import atomic_write
from ..validation.results.bundle import SIGNATURE
from .errors import SignatureError
from .keys import private_key, public_key, require_signing

LARGEST_SIGNATURE_BYTES = 4_000_000
LARGEST_TEXT_BYTES = 16_000_000


def sign_folder(folder: Path, private: Path) -> Path:
    """Signs all that lies in ``folder`` and writes the signature into it; a former one is replaced.

    Raises:
        SignatureError: no usable key, or something in the folder is no file.
    """
    private_key(private)
    _check_plain(folder)
    atomic_write(folder / SIGNATURE, _sign(folder, private))
    return folder / SIGNATURE


def verify_folder(folder: Path, public: Path) -> None:
    """Checks that every file of ``folder`` is as it was signed, and that there is none besides. Files are hashed, nothing is parsed.

    Raises:
        SignatureError: it is not signed, was signed with another key, or differs from what was signed; names the files.
    """
    public_key(public)
    signature = folder / SIGNATURE
    if not folder.is_dir():
        raise SignatureError(f"{folder}: is no folder; give the bundle's")
    _check_plain(folder)
    if not signature.is_file():
        raise SignatureError(f"{folder}: is not signed, there is no {SIGNATURE}; `instantstyle sign` makes it")
    if signature.stat().st_size > LARGEST_SIGNATURE_BYTES:
        raise SignatureError(f"{signature}: is too large for a signature")
    _verify(folder, signature, public, str(folder))


def sign_text(name: str, text: str, private: Path) -> str:
    """The signature of a text; ``name`` keeps it from being taken for one of another kind."""
    private_key(private)
    with _as_folder(name, text) as folder:
        return _sign(folder, private)


def verify_text(name: str, text: str, signature: str, public: Path, where: str) -> None:
    """Checks that ``text`` is as it was signed under that name.

    Args:
        where: it comes from, for messages.

    Raises:
        SignatureError: it was signed with another key, altered, or signed as something else.
    """
    public_key(public)
    if len(text) > LARGEST_TEXT_BYTES or len(signature) > LARGEST_SIGNATURE_BYTES:
        raise SignatureError(f"{where}: is too large to be signed")
    with _as_folder(name, text) as folder:
        file = folder / SIGNATURE
        file.write_text(signature, encoding="utf-8")
        _verify(folder, file, public, where)


@contextmanager
def _as_folder(name: str, text: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="instantstyle-signing-") as scratch:
        folder = Path(scratch, "text")
        folder.mkdir()
        (folder / name).write_text(text, encoding="utf-8", newline="")
        yield folder


def _sign(folder: Path, private: Path) -> str:
    from model_signing import signing

    with tempfile.TemporaryDirectory(prefix="instantstyle-signing-") as scratch:
        file = Path(scratch, SIGNATURE)
        config = signing.Config().use_elliptic_key_signer(private_key=private)
        config.set_hashing_config(_hashing()).sign(folder, file)
        return file.read_text(encoding="utf-8")


def _verify(folder: Path, signature: Path, public: Path, where: str) -> None:
    require_signing()
    from cryptography.exceptions import InvalidSignature
    from model_signing import verifying

    config = verifying.Config().use_elliptic_key_verifier(public_key=public).set_hashing_config(_hashing())
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its warnings
            config.verify(folder, signature)
    except InvalidSignature as error:
        raise SignatureError(f"{where}: its signature was altered, or made with another key than {public}") from error
    except ValueError as error:
        raise SignatureError(f"{where}: {_explained(str(error), public)}") from error
    except OSError as error:
        raise SignatureError(f"{where}: cannot be read ({(error.strerror or str(error)).lower()})") from error
    except Exception as error:  # whatever a damaged signature makes the library raise, it is not a good one
        raise SignatureError(f"{where}: its signature is damaged ({type(error).__name__}); fetch it again") from error


def _explained(problem: str, public: Path) -> str:
    if problem.startswith("Key mismatch"):
        return f"was signed with another key than {public}; take the owner's key, or do not use it"
    if problem.startswith("Signature mismatch: "):
        return f"is not what was signed: {_differences(problem)}; fetch it again"
    return f"its signature is damaged ({problem[:200]}); fetch it again"


def _differences(problem: str) -> str:
    """The files in the library's list of differences, which spells out every hash."""
    changed = re.findall(r"Hash mismatch for \\?'(.+?)\\?': Expected", problem)
    others = dict(re.findall(r"(Extra|Missing) files (?:found )?in model \\?'.*?\\?': (.*?)[\"'](?:, |\])", problem))
    kinds = [("altered", ", ".join(changed)), ("missing", others.get("Missing", "")), ("not signed", others.get("Extra", ""))]
    return "; ".join(f"{kind}: {names[:300]}" for kind, names in kinds if names) or "its files"


def _hashing():
    """SHA-256 of every file but the signature. Links are refused, and files of git count as any others."""
    from model_signing import hashing

    config = hashing.Config().use_file_serialization(hashing_algorithm="sha256", allow_symlinks=False)
    return config.set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)


def _check_plain(folder: Path) -> None:
    """Refuses what is neither file nor folder before anything is opened: a link leads elsewhere, a pipe never ends."""
    pending = [folder]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                mode = entry.stat(follow_symlinks=False).st_mode
                if stat.S_ISDIR(mode):
                    pending.append(Path(entry.path))
                elif not stat.S_ISREG(mode):
                    what = "a link" if stat.S_ISLNK(mode) else "neither a file nor a folder"
                    raise SignatureError(f"{entry.path}: is {what}; a signed folder consists of files")
