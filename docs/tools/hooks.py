"""Hooks of mkdocs: pages take their text from where it is kept, so that it is kept once.

In a page, a line of its own ``<!-- README: Section -->`` stands for that section of the README, ``<!-- FILE: path -->`` for a whole file
of the repository, ``<!-- KEYS: name -->`` for the tables of ``docs/<name>.schema.json``, ``<!-- COMMANDS -->`` for the command line.
"""

import os
import re
from functools import cache
from pathlib import Path
from typing import Any

from command_reference import command_reference
from key_reference import key_tables
from mkdocs.exceptions import PluginError

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
README = "README.md"
MARK = re.compile(r"^<!-- (README|FILE|KEYS|COMMANDS)(?:: (.+?))? -->$", re.MULTILINE)
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
FENCE = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)
SECTION = re.compile(r"^## (.+)$", re.MULTILINE)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The page with what its marks stand for."""
    here = page.file.src_uri
    return MARK.sub(lambda mark: _text(mark[1], mark[2], here), markdown)


def _text(kind: str, name: str, here: str) -> str:
    if kind == "KEYS":
        return key_tables(DOCS / f"{name}.schema.json")
    if kind == "COMMANDS":
        return command_reference()
    source = README if kind == "README" else name
    text = _sections().get(name) if kind == "README" else (ROOT / name).read_text(encoding="utf-8")
    if text is None:
        raise PluginError(f"docs/{here}: the README has no section '{name}'; it has {', '.join(_sections())}")
    parts = FENCE.split(text)
    # The odd ones are code.
    return "".join(part if index % 2 else LINK.sub(lambda link: _link(link, source, here), part) for index, part in enumerate(parts))


@cache
def _sections() -> dict[str, str]:
    """The README by section; what comes before the first is that of the title."""
    pieces = SECTION.split((ROOT / README).read_text(encoding="utf-8"))
    title, _, start = pieces[0].partition("\n")
    return {title.removeprefix("# "): start.strip(), **{name: text.strip() for name, text in zip(pieces[1::2], pieces[2::2], strict=True)}}


@cache
def _pages() -> dict[str, str]:
    """The pages of the site by what they stand for: files of the repository, and sections of the README by their anchors."""
    found = {}
    for path in sorted(DOCS.rglob("*.md")):
        page = path.relative_to(DOCS).as_posix()
        found[path.relative_to(ROOT).as_posix()] = page
        for kind, name in MARK.findall(path.read_text(encoding="utf-8")):
            if kind in ("README", "FILE"):
                found[name if kind == "FILE" else f"{README}#{_anchor(name)}"] = page
    return found


def _anchor(heading: str) -> str:
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


def _link(link: re.Match[str], source: str, here: str) -> str:
    """A link of ``source`` as the page ``here`` has it; to a file that is no page, its name in the repository."""
    image, text, target = link.groups()
    if "://" in target:
        return link[0]
    path, _, anchor = target.partition("#")
    file = os.path.relpath((ROOT / source).parent / path, ROOT) if path else source
    page = _pages().get(f"{file}#{anchor}") or _pages().get(file)
    if page is None and (DOCS / os.path.relpath(file, "docs")).is_file() and file.startswith("docs/"):
        page = os.path.relpath(file, "docs")  # a picture or a schema
    if page is not None:
        kept = f"#{anchor}" if anchor and f"{file}#{anchor}" not in _pages() else ""
        return f"{image}[{text}]({os.path.relpath(page, Path(here).parent)}{kept})"
    if image or not (ROOT / file).exists():
        raise PluginError(f"docs/{here}: {source} links to {target}, which is neither a page nor a file")
    return f"{text} (`{file}`)"
