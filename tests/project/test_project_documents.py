"""README and CONTRIBUTING name only what exists."""

import ast
import re
from pathlib import Path

import pytest
import typer.main

from instantstyle.cli.main import app
from instantstyle.export.source.checked_recipe import load_recipe

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "docs/decisions.md")
TARGETS = set(re.findall(r"^([a-z0-9-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def text(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def commands(group: object, prefix: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """Every command of the command line, e.g. ("calibration", "diff")."""
    children = getattr(group, "commands", None)
    if children is None:
        return {prefix}
    return {command for name, child in children.items() for command in commands(child, (*prefix, name))}


def code(document: str) -> list[str]:
    """Lines of code blocks and code spans that are commands."""
    blocks = [
        line for block in re.findall(r"^ *```[a-z]*\n(.*?)```", text(document), re.DOTALL | re.MULTILINE) for line in block.splitlines()
    ]
    return [line.partition("#")[0].strip() for line in blocks] + re.findall(r"`([^`\n]+)`", text(document))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_make_commands_exist(document: str) -> None:
    used = {match[1] for line in code(document) if (match := re.match(r"make ([a-z0-9-]+)", line))}
    assert used <= TARGETS


def test_readme_names_the_two_commands() -> None:
    assert {"make release", "make test"} <= set(code("README.md"))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_instantstyle_commands_exist(document: str) -> None:
    known = commands(typer.main.get_command(app))
    for line in code(document):
        words = line.split()
        if words[:1] == ["instantstyle"] and len(words) > 1 and re.fullmatch("[a-z]+", words[1]):
            assert any(tuple(words[1 : 1 + len(command)]) == command for command in known), line


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_and_paths_exist(document: str) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", text(document))
    paths = [span for span in re.findall(r"`([a-z_.]+/[A-Za-z0-9_./-]*)`", text(document)) if not span.startswith(("dist/", ".venv"))]
    base = (ROOT / document).parent
    missing = {link for link in links if "://" not in link and not (base / link).exists()}
    missing |= {path for path in paths if not (ROOT / path).exists()}
    assert missing == set()


def test_own_model_example_is_a_valid_recipe(tmp_path: Path) -> None:
    blocks = re.findall(r"^```(python|toml)\n(.*?)```", text("README.md"), re.DOTALL | re.MULTILINE)
    (python,) = (body for kind, body in blocks if kind == "python" and "def make" in body)
    ast.parse(python)
    path = tmp_path / "mynet.toml"
    # The example and, in a section of its own, how it is pruned.
    path.write_text("\n".join(body for kind, body in blocks if kind == "toml"), encoding="utf-8")
    recipe = load_recipe(path)
    assert recipe.model.factory == "mynet.py:make" and "def make()" in python
    assert recipe.model.checkpoint == tmp_path / "mynet.safetensors"
    assert recipe.targets.required == ("android",)
    assert recipe.limits.min_ssim_worst == 0.95
    assert recipe.prune.heads and recipe.prune.channels and recipe.prune.recover.steps


def test_targets_table_names_the_shipped_targets() -> None:
    from instantstyle.targets.registry import targets

    rows = re.findall(r"^\| `([a-z0-9_-]+)` \|", text("README.md"), re.MULTILINE)
    assert set(rows) == set(targets())
