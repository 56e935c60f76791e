"""What is public says what it is: classes, functions and methods have docstrings, unless a base class says it for them."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = tuple(sorted(path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests"))
FEWEST_WORDS = 2
DOCUMENTED = 'class A:\n    """Says what it is."""\n    def m(self):\n        """What it does."""'
Classes = dict[str, list[ast.ClassDef]]
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text(encoding="utf-8")) for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}


def public(body: list[ast.stmt]) -> Iterator[Definition]:
    return (node for node in body if isinstance(node, Definition) and not node.name.startswith("_"))


def bases(node: ast.ClassDef) -> list[str]:
    return [ast.unparse(base).partition("[")[0].rpartition(".")[2] for base in node.bases]


def documented_by_a_base(node: ast.ClassDef, method: str, classes: Classes) -> bool:
    """Whether a class above has a docstring for it, or is of another package."""
    for name in bases(node):
        if name not in classes:
            return True
        for base in classes[name]:
            own = next((each for each in public(base.body) if each.name == method), None)
            if (own is not None and ast.get_docstring(own)) or documented_by_a_base(base, method, classes):
                return True
    return False


def by_name(modules: Iterable[ast.Module]) -> Classes:
    found: Classes = {}
    for node in (node for tree in modules for node in tree.body if isinstance(node, ast.ClassDef)):
        found.setdefault(node.name, []).append(node)
    return found


def silent(tree: ast.Module, classes: Classes) -> Iterator[str]:
    """Names of what has no docstring, or a single word."""
    for node in public(tree.body):
        text = ast.get_docstring(node)
        if text is None or len(text.split()) < FEWEST_WORDS:
            yield node.name
        if isinstance(node, ast.ClassDef):
            for method in public(node.body):
                text = ast.get_docstring(method)
                if len(text.split()) < FEWEST_WORDS if text is not None else not documented_by_a_base(node, method.name, classes):
                    yield f"{node.name}.{method.name}"


def test_what_is_public_says_what_it_is() -> None:
    found = trees()
    classes = by_name(found.values())
    assert len(classes) > 200
    assert [f"{path.relative_to(ROOT)}: {name}" for path, tree in found.items() for name in silent(tree, classes)] == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("def f(): ...", ["f"]),
        ('def f():\n    """f."""', ["f"]),
        ('class A:\n    """Says what it is."""\n    def m(self): ...', ["A.m"]),
        (DOCUMENTED + '\n\nclass B(A):\n    """Another one."""\n    def m(self): ...', []),
        ('class B(Foreign):\n    """Says what it is."""\n    def m(self): ...', []),
    ],
)
def test_the_search_finds_what_says_nothing(text: str, named: list[str]) -> None:
    tree = ast.parse(text)
    assert list(silent(tree, by_name([tree]))) == named
