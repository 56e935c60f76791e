"""Whether a bundle is what was built: its files, what it says about them, and ``bundle.json`` itself."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

from ..system.errors import ArtifactError
from .judge.agreement import check_agreement
from .judge.listing import check_files, list_files
from .report.report import write_reports
from .results.bundle import FILE_NAME, SIGNATURE, Bundle
from .results.bundle_file import digests, write_bundle


def seal(bundle: Bundle, folder: Path) -> Bundle:
    """Writes reports and ``bundle.json`` into a folder that has all other files, and checks the whole.

    The order answers which hash comes first: the reports are written from the bundle before it lists any file, then every file is
    hashed, then the digests of ``bundle.json`` are taken, with that list, and it alone is hashed nowhere. A signature of what lay
    there before is worth nothing now, and goes.

    Raises:
        ArtifactError: as ``verify``.
    """
    (folder / SIGNATURE).unlink(missing_ok=True)
    write_reports(bundle, folder)
    listed = replace(bundle, files=list_files(folder))
    sealed = replace(listed, digests=digests(listed))
    write_bundle(sealed, folder)
    verify(sealed, folder)
    return sealed


def verify(bundle: Bundle, dist: Path) -> None:
    """Checks everything about a bundle that can be checked without running anything.

    Raises:
        ArtifactError: a file is missing, altered, not listed, or says something else than ``bundle.json``; a value is impossible; or
            ``bundle.json`` is not as it was written. Names the file or the field.
    """
    check_files(bundle.files, dist)
    check_agreement(bundle, dist)
    _check_digests(bundle, dist)


def _check_digests(bundle: Bundle, dist: Path) -> None:
    wanted, found = ({each.part: each.sha256 for each in rows} for rows in (digests(bundle), bundle.digests))
    twice = [part for part, count in Counter(each.part for each in bundle.digests).items() if count > 1]
    for part in [*twice, *wanted, *found]:
        if part in twice or wanted.get(part) != found.get(part):
            raise ArtifactError(f"{dist / FILE_NAME}: '{part}' was altered after the build, or its digest was; build the bundle again")
